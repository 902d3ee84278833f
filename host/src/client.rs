//! The other side of `crossfade serve`: what the commands that ask a running server have
//! in common.
//!
//! *Does:* find the server and a token, ask, follow a redirect to the server that leads,
//! and turn every way of failing into a sentence and an exit code.
//!
//! *Does not:* decide or count anything; what it shows are the server's own words.

mod address;
mod again;
pub(crate) mod diff;
mod follow;
pub(crate) mod page;
pub(crate) mod report;
pub(crate) mod shadow;
mod sse;
pub(crate) mod status;
mod token;
mod trouble;
pub(crate) mod watch;

use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::warn;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, LOCATION};
use ureq::http::{Method, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::exit::{Exit, Failure};

pub(crate) use address::Address;
pub(crate) use again::AgainArgs;
pub(crate) use follow::{Follow, News};
pub(crate) use trouble::Trouble;

use address::Protection;
use token::Token;

/// A healthy server on the same continent takes a tenth of a second for the connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// An answer, with the commit behind it. Disks and clusters have bad seconds.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// A stream of events is never silent for longer than 15 s: a server that is has gone.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// Ten thousand clients with ids of 1,024 bytes, each byte of which may be written as six.
const ANSWER_BYTES_MAX: u64 = 80 << 20;

/// From a standby to the leader is one; another if the lead changes meanwhile.
const MOVES_MAX: u32 = 3;

/// Which server is asked.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// Where `crossfade serve` is.
    #[arg(long, value_name = "URL", env = "CROSSFADE_SERVER", hide_env_values = true,
          default_value = "http://127.0.0.1:7400", value_parser = Address::read)]
    server: Address,

    /// A file that holds the token to show [default: the environment's CROSSFADE_TOKEN;
    /// for a server on this machine ./crossfade-data/operator.token, if it is there].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Trust servers with a certificate of these authorities (PEM), and no others.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
}

impl ServerArgs {
    /// This server, and the file with the token for it.
    pub(crate) fn of(server: Address, token_file: Option<PathBuf>) -> ServerArgs {
        ServerArgs { server, token_file, cacert: None }
    }

    /// Makes ready to ask. Nothing is sent yet.
    ///
    /// # Errors
    /// A file that was named cannot be read or is not what it should be.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let token = Token::find(self.token_file.as_deref(), &self.server)?;
        if token.header().is_some() && self.server.protection() == Protection::Plain {
            warn!("the token goes to {} unencrypted: others may read it", self.server);
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = &self.cacert {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(path)?));
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("crossfade/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_PATIENCE))
            .timeout_recv_response(Some(ANSWER_PATIENCE))
            .timeout_per_read(Some(SILENCE_MAX))
            .tls_config(tls.build());
        if self.server.is_loopback() {
            config = config.proxy(None);
        }
        Ok(Client { agent: config.build().new_agent(), server: self.server.clone(), token })
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<Certificate<'static>>, Failure> {
    let name = path.display();
    let text = std::fs::read(path)
        .map_err(|error| Failure::new(Exit::Io, format!("cannot read {name}: {error}")))?;
    let wrong = |what: String| Failure::new(Exit::Data, format!("{name}: {what}"));
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(wrong(format!("no PEM: {error}"))),
        }
    }
    if certificates.is_empty() {
        return Err(wrong("holds no certificate: PEM is expected".to_owned()));
    }
    Ok(certificates)
}

/// Asks one server, and the one that leads when it says so.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    server: Address,
    token: Token,
}

/// What is asked.
#[derive(Debug, Clone)]
struct Question {
    method: Method,
    path: String,
    accept: &'static str,
    /// The id of the last event seen.
    after: Option<u64>,
    /// The revision that a policy is meant to replace.
    replaces: Option<u64>,
    /// By which a command is known again.
    key: Option<String>,
    body: Option<String>,
}

impl Question {
    fn get(path: impl Into<String>) -> Question {
        Question {
            method: Method::GET,
            path: path.into(),
            accept: "application/json",
            after: None,
            replaces: None,
            key: None,
            body: None,
        }
    }

    fn post(path: &str, body: &Value) -> Question {
        let body = Some(body.to_string());
        Question { method: Method::POST, body, ..Question::get(path) }
    }

    fn put(path: &str, replaces: u64, body: &Value) -> Question {
        let (body, replaces) = (Some(body.to_string()), Some(replaces));
        Question { method: Method::PUT, body, replaces, ..Question::get(path) }
    }

    /// The role that it takes.
    fn role(&self) -> &'static str {
        match self.method {
            Method::GET => "read",
            Method::DELETE => "admin",
            _ => "operate",
        }
    }
}

impl Client {
    /// The server that was named.
    pub(crate) fn server(&self) -> &Address {
        &self.server
    }

    /// What is there, as JSON.
    ///
    /// # Errors
    /// There is no answer, or one that says no.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.ask(&Question::get(path))
    }

    /// What is there, as a type.
    ///
    /// # Errors
    /// As [`get`](Self::get); or it has another shape.
    pub(crate) fn get_as<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.read(self.get(path)?)
    }

    /// Tells the server to do something.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.ask(&Question::post(path, body))
    }

    /// Has the server erase something.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn delete(&self, path: &str) -> Result<Value, Trouble> {
        self.ask(&Question { method: Method::DELETE, ..Question::get(path) })
    }

    /// Puts something in the place of what has this revision.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn put(&self, path: &str, replaces: u64, body: &Value) -> Result<Value, Trouble> {
        self.ask(&Question::put(path, replaces, body))
    }

    /// An answer as a type.
    ///
    /// # Errors
    /// It has another shape.
    pub(crate) fn read<T: DeserializeOwned>(&self, answer: Value) -> Result<T, Trouble> {
        serde_json::from_value(answer).map_err(|error| self.foreign(&error))
    }

    /// A stream of events after this one.
    fn events(&self, path: &str, after: Option<u64>) -> Result<Body, Trouble> {
        let question = Question { accept: "text/event-stream", after, ..Question::get(path) };
        self.send(&question).map(Response::into_body)
    }

    fn ask(&self, question: &Question) -> Result<Value, Trouble> {
        let mut answer = self.send(question)?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| Trouble::of_error(&self.server, &error))?;
        serde_json::from_slice(&body).map_err(|error| self.foreign(&error))
    }

    fn foreign(&self, why: &serde_json::Error) -> Trouble {
        Trouble::Foreign { address: self.server.to_string(), why: why.to_string() }
    }

    /// Sends a question to the server, and on to the one it names. The answer is a good one.
    fn send(&self, question: &Question) -> Result<Response<Body>, Trouble> {
        let mut server = self.server.clone();
        for _ in 0..=MOVES_MAX {
            let mut answer = self.send_to(&server, question)?;
            let status = answer.status().as_u16();
            if answer.status().is_success() {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            if let (307 | 308, Some(location)) = (status, location) {
                let to = server.moved(location, &question.path);
                server = self.leader(&server, to, location)?;
                continue;
            }
            let body = answer.body_mut().with_config().limit(1 << 20).read_to_vec();
            let body = body.unwrap_or_default();
            return Err(Trouble::of_answer(status, &body, &server, &self.token, question.role()));
        }
        let detail = "the servers send each other's callers to and fro: nobody leads".to_owned();
        Err(Trouble::Failing { address: self.server.to_string(), detail, unclear: false })
    }

    /// The server to go on to. With a token, never over a channel that is less protected
    /// than the one that the user has chosen for it.
    fn leader(&self, from: &Address, to: Option<Address>, said: &str) -> Result<Address, Trouble> {
        let said = crate::replay::text::shown(said.as_bytes(), 200);
        let Some(to) = to else {
            let why = format!("it sends us on to `{said}`");
            return Err(Trouble::Foreign { address: from.to_string(), why });
        };
        if self.token.header().is_some() && to.protection() < self.server.protection() {
            return Err(Trouble::Forbidden(format!(
                "{from} says that {to} leads, where the token would be less protected on its way \
                 than to {}: nothing was sent there. If you trust the network, use --server {to}",
                self.server
            )));
        }
        Ok(to)
    }

    fn send_to(&self, server: &Address, question: &Question) -> Result<Response<Body>, Trouble> {
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(server.join(&question.path))
            .header(ACCEPT, question.accept);
        if let Some(token) = self.token.header() {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(id) = question.after {
            request = request.header("last-event-id", id);
        }
        if let Some(revision) = question.replaces {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        if let Some(key) = &question.key {
            request = request.header("idempotency-key", format!("\"{key}\""));
        }
        let answer = match &question.body {
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(body.as_str())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
            None => request
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
        };
        answer.map_err(|error| Trouble::of_error(server, &error))
    }
}

/// A text as a part of a path or a query.
pub(crate) fn segment(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text += &format!("%{byte:02X}"),
        }
    }
    // A path of dots alone would lead elsewhere.
    match text.as_str() {
        "." | ".." => text.replace('.', "%2E"),
        _ => text,
    }
}

/// A path with a query, of which absent parts are left out and the others are escaped.
pub(crate) fn with_query(path: &str, query: &[(&str, Option<String>)]) -> String {
    let mut text = path.to_owned();
    let mut separator = '?';
    for (name, value) in query {
        let Some(value) = value else { continue };
        text.push(separator);
        text += name;
        text.push('=');
        text += &segment(value);
        separator = '&';
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        let query =
            [("version", Some("v1&x=\u{e9}".to_owned())), ("a", None), ("limit", Some("5".into()))];
        assert_eq!(
            with_query("/v1/clients", &query),
            "/v1/clients?version=v1%26x%3D%C3%A9&limit=5"
        );
        assert_eq!(with_query("/v1/nodes", &[]), "/v1/nodes");
    }

    fn client(server: &str, token: Option<&str>) -> Client {
        let server = Address::read(server).unwrap();
        let token = token.map_or(Token::none(), |text| Token::of_text(text, "t".into()).unwrap());
        Client { agent: Agent::new_with_defaults(), server, token }
    }

    #[test]
    fn a_token_never_goes_over_a_worse_channel() {
        for (server, leader, goes) in [
            ("http://127.0.0.1:7401", "http://127.0.0.1:7400", true),
            ("http://127.0.0.1:7401", "https://a.example.com", true),
            ("http://127.0.0.1:7401", "http://10.0.0.5:7400", false),
            ("https://b.example.com", "https://a.example.com", true),
            ("https://b.example.com", "http://a.example.com", false),
            ("https://b.example.com", "http://127.0.0.1:7400", false),
            ("http://10.0.0.6:7400", "http://10.0.0.5:7400", true),
        ] {
            let to = || Address::read(leader).ok();
            let from = Address::read(server).unwrap();
            let with = client(server, Some("secret")).leader(&from, to(), leader);
            assert_eq!(with.is_ok(), goes, "{server} to {leader}");
            assert!(client(server, None).leader(&from, to(), leader).is_ok());
        }
    }
}
