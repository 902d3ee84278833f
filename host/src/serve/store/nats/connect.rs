//! Reaching the servers: the address, who we are, and whether they are new enough.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tracing::{info, warn};

use super::super::StoreError;

/// Oldest server that does all we ask: older ones ignore settings without a word.
const OLDEST: (u64, u64) = (2, 12);

/// How long the first connection may take, over all servers and tries.
const FIRST_CONNECTION: Duration = Duration::from_secs(10);

/// How long one answer may take. Electing a new leader of a stream takes 4 to 9 s: what
/// is asked meanwhile fails and is asked again.
const ANSWER: Duration = Duration::from_secs(3);

/// How often the connection is probed: one that was cut is noticed after two of these.
const PROBE: Duration = Duration::from_secs(2);

/// Where a fleet's servers are: `nats://[USER:PASSWORD@]HOST[:PORT][,HOST…][?OPTIONS]`.
///
/// `tls://` asks for TLS. Options: `domain=NAME`, the JetStream domain to use from a leaf
/// node that has one of its own; `replicas=1` or `3`.
#[derive(Clone)]
pub(crate) struct Address {
    scheme: &'static str,
    hosts: Vec<String>,
    login: Option<Login>,
    pub(super) domain: Option<String>,
    pub(super) replicas: Option<usize>,
}

/// Who we are to the servers.
#[derive(Clone)]
pub(crate) enum Login {
    /// A user of the server's configuration.
    Password {
        /// Its name.
        user: String,
        /// Its password.
        password: String,
    },
    /// The text of a `.creds` file: a token and the key that proves it is ours.
    Creds(String),
}

/// Everything that is needed to connect.
#[derive(Clone)]
pub(crate) struct Access {
    /// Where.
    pub(crate) address: Address,
    /// As whom; takes the place of what the address says.
    pub(crate) login: Option<Login>,
    /// A PEM file with the certificates that sign the servers' own, beside the system's.
    pub(crate) ca: Option<PathBuf>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.hosts.join(","))
    }
}

/// Without the password: this ends up in logs.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({})", self.address)
    }
}

impl Address {
    /// Reads an address, or says what is wrong with it.
    ///
    /// # Errors
    /// What is wrong, and what would be right. Never with the password.
    pub(crate) fn parse(text: &str) -> Result<Address, String> {
        const RIGHT: &str = "an address of a fleet is `nats://HOST:PORT[,HOST:PORT…]`";
        let (scheme, rest) = match text.split_once("://") {
            Some(("nats", rest)) => ("nats", rest),
            Some(("tls", rest)) => ("tls", rest),
            _ => return Err(format!("it does not begin with `nats://` or `tls://`: {RIGHT}")),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (Some(Login::user(login)?), hosts),
            None => (None, rest),
        };
        let hosts: Vec<String> =
            hosts.trim_end_matches('/').split(',').map(str::to_owned).collect();
        let mut address = Address { scheme, hosts, login, domain: None, replicas: None };
        address.servers()?;
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("domain", name)) if !name.is_empty() => {
                    address.domain = Some(name.to_owned())
                }
                Some(("replicas", "1")) => address.replicas = Some(1),
                Some(("replicas", "3")) => address.replicas = Some(3),
                _ => {
                    return Err(format!(
                        "`{option}` is no option of it: known are `domain=NAME`, `replicas=1` and \
                         `replicas=3`"
                    ));
                }
            }
        }
        Ok(address)
    }

    fn servers(&self) -> Result<Vec<ServerAddr>, String> {
        let server = |host: &String| {
            let sound = !host.is_empty() && !host.contains(['/', ' ', '@']);
            let parsed = format!("{}://{host}", self.scheme).parse().ok().filter(|_| sound);
            parsed.ok_or_else(|| format!("`{host}` is no `HOST:PORT`"))
        };
        self.hosts.iter().map(server).collect()
    }
}

impl Login {
    fn user(text: &str) -> Result<Login, String> {
        let (user, password) = text.split_once(':').ok_or("it has a user without a password")?;
        Ok(Login::Password { user: user.to_owned(), password: password.to_owned() })
    }

    /// Reads what a credentials file or the environment holds: the text of a `.creds`
    /// file of NATS, or one line `USER:PASSWORD`.
    ///
    /// # Errors
    /// What is wrong. Never with the password.
    pub(crate) fn parse(text: &str) -> Result<Login, String> {
        if text.contains("-----BEGIN NATS USER JWT-----") {
            return Ok(Login::Creds(text.to_owned()));
        }
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        match (lines.next(), lines.next()) {
            (Some(line), None) if line.contains(':') => Login::user(line.trim()),
            _ => Err("it holds neither one line `USER:PASSWORD` nor a NATS user's JWT and seed"
                .to_owned()),
        }
    }
}

impl Access {
    pub(super) fn failed(&self, why: impl fmt::Display) -> StoreError {
        StoreError::Failed { store: self.address.to_string(), why: why.to_string() }
    }

    /// What was asked may have been done.
    pub(super) fn unclear(&self, why: impl fmt::Display) -> StoreError {
        StoreError::Unclear { store: self.address.to_string(), why: why.to_string() }
    }

    pub(super) fn foreign(&self, why: impl Into<String>) -> StoreError {
        StoreError::Foreign { store: self.address.to_string(), why: why.into() }
    }

    fn options(&self, name: &str) -> Result<ConnectOptions, StoreError> {
        let mut options = ConnectOptions::new();
        match self.login.as_ref().or(self.address.login.as_ref()) {
            None => {}
            Some(Login::Password { user, password }) => {
                options = options.user_and_password(user.clone(), password.clone());
            }
            Some(Login::Creds(text)) => {
                options = options.credentials(text).map_err(|error| {
                    self.failed(format!("the credentials cannot be read: {error}"))
                })?;
            }
        }
        // A thousand nodes that lost one server must not all come at once.
        let spread_ms = getrandom::u64().unwrap_or_default() % 250;
        if let Some(ca) = &self.ca {
            options = options.add_root_certificates(ca.clone());
        }
        Ok(options
            .require_tls(self.address.scheme == "tls")
            .name(name)
            .ping_interval(PROBE)
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(ANSWER))
            .reconnect_delay_callback(move |tries| {
                Duration::from_millis((50 * tries as u64).min(1000) + spread_ms)
            })
            .event_callback(|event| async move { report(&event) }))
    }

    /// Connects as a controller: the servers have to be there, and new enough.
    pub(super) async fn connect(&self, name: &str) -> Result<Client, StoreError> {
        let servers = self.address.servers().map_err(|why| self.failed(why))?;
        let deadline = tokio::time::Instant::now() + FIRST_CONNECTION;
        let client = loop {
            match self.options(name)?.connect(servers.clone()).await {
                Ok(client) => break client,
                Err(error) if refused(&error) || tokio::time::Instant::now() >= deadline => {
                    return Err(self.failed(connection_words(&error)));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        };
        new_enough(&client.server_info().version).map_err(|why| self.foreign(why))?;
        Ok(client)
    }

    /// Connects as a node: now if it can be, otherwise as soon as it can be. A node's
    /// permissions name its inbox.
    pub(super) async fn connect_whenever(&self, node: &str) -> Result<Client, StoreError> {
        let servers = self.address.servers().map_err(|why| self.failed(why))?;
        let options = self.options(node)?.retry_on_initial_connect();
        let options = options.custom_inbox_prefix(inbox(node));
        options.connect(servers).await.map_err(|error| self.failed(connection_words(&error)))
    }

    pub(super) fn context(&self, client: Client) -> Context {
        let builder = jetstream::ContextBuilder::new();
        match &self.address.domain {
            Some(domain) => {
                builder.domain(domain).timeout(ANSWER).ack_timeout(ANSWER).build(client)
            }
            None => builder.timeout(ANSWER).ack_timeout(ANSWER).build(client),
        }
    }
}

/// Where a node's answers arrive: `_INBOX_eu-1`, of its part `eu-1/3` `_INBOX_eu-1.3`.
fn inbox(node: &str) -> String {
    let plain = |c: char| match c {
        '/' => '.',
        c if c.is_ascii_alphanumeric() || c == '-' => c,
        _ => '_',
    };
    format!("_INBOX_{}", node.chars().map(plain).collect::<String>())
}

fn refused(error: &async_nats::ConnectError) -> bool {
    use async_nats::ConnectErrorKind::{Authentication, AuthorizationViolation};
    matches!(error.kind(), Authentication | AuthorizationViolation)
}

fn connection_words(error: &async_nats::ConnectError) -> String {
    match refused(error) {
        true => format!("it refuses the credentials ({error})"),
        false => format!("it cannot be reached ({error}); is nats-server running there?"),
    }
}

/// Whether a server of this version will do, or why not.
fn new_enough(version: &str) -> Result<(), String> {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u64>().ok());
    let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
    match (major, minor) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST => Ok(()),
        _ => Err(format!(
            "runs nats-server {version}, and Crossfade needs {}.{} or later: older ones take \
             settings that they do not know and ignore them (`sync_interval`, time to live)",
            OLDEST.0, OLDEST.1
        )),
    }
}

fn report(event: &Event) {
    match event {
        Event::Connected => info!("connected to NATS"),
        Event::Draining | Event::Closed => {}
        // A refused publish shows nowhere else: its sender sees no answer.
        event => warn!("NATS: {event}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_without_its_password() {
        let address =
            Address::parse("nats://alice:s3:c@ret@h1:4222,h2?domain=hub&replicas=3").unwrap();
        assert_eq!(address.to_string(), "nats://h1:4222,h2");
        assert_eq!((address.domain.as_deref(), address.replicas), (Some("hub"), Some(3)));
        let Some(Login::Password { user, password }) = address.login else {
            panic!("it has a login");
        };
        assert_eq!((user.as_str(), password.as_str()), ("alice", "s3:c@ret"));
        assert!(Address::parse("tls://[::1]:4222").is_ok());
    }

    #[test]
    fn a_wrong_address_is_refused_with_what_is_wrong() {
        for (text, why) in [
            ("http://h", "does not begin with `nats://`"),
            ("nats://", "`` is no `HOST:PORT`"),
            ("nats://h:99999", "`h:99999` is no `HOST:PORT`"),
            ("nats://h1,,h2", "`` is no `HOST:PORT`"),
            ("nats://alice@h", "a user without a password"),
            ("nats://h?replicas=2", "`replicas=2` is no option"),
        ] {
            let said = Address::parse(text).err().unwrap_or_default();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn credentials_are_a_line_or_a_creds_file() {
        assert!(matches!(Login::parse("u:p\n"), Ok(Login::Password { .. })));
        let creds = "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n";
        assert!(matches!(Login::parse(creds), Ok(Login::Creds(_))));
        for wrong in ["", "user", "u:p\nv:q"] {
            assert!(Login::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_old_server_is_refused_with_the_reason() {
        for version in ["2.12.0", "2.14.0-RC.1", "3.0.0"] {
            assert!(new_enough(version).is_ok(), "{version}");
        }
        for version in ["2.9.10", "2.11.9", "1.99.0", "", "new"] {
            let why = new_enough(version).unwrap_err();
            assert!(why.contains("needs 2.12 or later"), "{version}: {why}");
        }
    }
}
