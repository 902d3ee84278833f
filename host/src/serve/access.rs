//! Who may do what: bearer tokens with roles.
//!
//! On loopback without a token file, reading and reporting are open to this machine, and
//! operating needs the token that lies in the data directory. Everywhere else every
//! request needs one.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crossfade_protocol::Problem;

/// The file with the operator's token in the data directory.
pub(crate) const TOKEN_FILE: &str = "operator.token";

/// Fewer characters are too easily guessed.
const TOKEN_CHARS_MIN: usize = 16;

/// Tokens beyond so many are refused.
const TOKENS_MAX: usize = 10_000;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// See everything.
    Read,
    /// Fetch the policy and report totals and outcomes.
    Report,
    /// Change things; sees everything, too.
    Operate,
    /// Erase what is known of somebody; may do what an operator may, too.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Read => "read",
            Role::Report => "report",
            Role::Operate => "operate",
            Role::Admin => "admin",
        })
    }
}

/// One token's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The name in the audit log.
    pub(crate) name: String,
    roles: Vec<Role>,
    /// The one node that it may report for, with its workers (`NODE/3`).
    node: Option<String>,
    /// Of the token. Tokens themselves are not kept.
    digest: [u8; 32],
}

impl Holder {
    /// Whether it has this role, or one that includes it.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.roles.iter().any(|has| match has {
            Role::Read | Role::Report => *has == role,
            Role::Operate => matches!(role, Role::Operate | Role::Read),
            Role::Admin => matches!(role, Role::Admin | Role::Operate | Role::Read),
        })
    }

    /// Whether it may report for one node only.
    pub(crate) fn is_bound(&self) -> bool {
        self.node.is_some()
    }

    /// Whether it may report for this node.
    pub(crate) fn may_report_for(&self, node: &str) -> bool {
        self.node.as_deref().is_none_or(|own| {
            node.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// No token, or an unknown one.
    #[error("this needs a token with the role `{role}`: send `authorization: Bearer TOKEN`{hint}")]
    Unknown {
        /// What is needed.
        role: Role,
        /// Where to find one.
        hint: String,
    },
    /// A token without the role.
    #[error("the token `{name}` may not do this: it needs the role `{role}`")]
    Role {
        /// Whose it is.
        name: String,
        /// What is needed.
        role: Role,
    },
}

/// All tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    holders: Vec<Holder>,
    /// Where the holder of a token is, by its digest. How long a look-up takes tells of
    /// digests, which nobody can choose, and not of tokens.
    places: HashMap<[u8; 32], usize>,
    /// What this machine may do without a token.
    open: Vec<Role>,
    /// Where the operator's token is.
    hint: String,
}

impl Access {
    /// Of a token file's text, one holder a line: `NAME ROLE[,ROLE] TOKEN`.
    ///
    /// # Errors
    /// Every line that is wrong. No message shows a token.
    pub(crate) fn parse(text: &str) -> Result<Access, Vec<Problem>> {
        let mut access = Access::default();
        let mut problems = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match access.read(line) {
                Ok(holder) => {
                    access.places.insert(holder.digest, access.holders.len());
                    access.holders.push(holder);
                }
                Err(message) => {
                    problems.push(Problem { path: format!("line {}", place + 1), message })
                }
            }
        }
        if problems.is_empty() && access.holders.is_empty() {
            let message = "no token: each line is NAME ROLE[,ROLE] TOKEN".to_owned();
            problems.push(Problem { path: "line 1".to_owned(), message });
        }
        if problems.is_empty() { Ok(access) } else { Err(problems) }
    }

    fn read(&self, line: &str) -> Result<Holder, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[name, roles, token] = words.as_slice() else {
            return Err(format!("{} words, not three: NAME ROLE[,ROLE] TOKEN", words.len()));
        };
        let mut holder =
            Holder { name: name.to_owned(), roles: Vec::new(), node: None, digest: digest(token) };
        for role in roles.split(',') {
            match role.split_once(':') {
                None if role == "read" => holder.roles.push(Role::Read),
                None if role == "report" => holder.roles.push(Role::Report),
                None if role == "operate" => holder.roles.push(Role::Operate),
                None if role == "admin" => holder.roles.push(Role::Admin),
                Some(("report", node)) if !node.is_empty() => {
                    holder.roles.push(Role::Report);
                    holder.node = Some(node.to_owned());
                }
                _ => {
                    return Err(format!(
                        "unknown role `{role}`: read, report, report:NODE, operate or admin"
                    ));
                }
            }
        }
        if token.chars().count() < TOKEN_CHARS_MIN {
            return Err(format!(
                "the token of `{name}` has fewer than {TOKEN_CHARS_MIN} characters"
            ));
        }
        if let Some(other) = self.holder(token) {
            return Err(format!("`{name}` has the same token as `{}`", other.name));
        }
        if self.holders.iter().any(|other| other.name == holder.name) {
            return Err(format!("`{name}` is there twice"));
        }
        if self.holders.len() >= TOKENS_MAX {
            return Err(format!("more than {TOKENS_MAX} tokens"));
        }
        Ok(holder)
    }

    /// For loopback: reading and reporting are open, and everything else needs the token in
    /// the data directory, which is drawn if it is not there.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn on_loopback(data: &Path) -> std::io::Result<Access> {
        let path = data.join(TOKEN_FILE);
        let token = secret(&path)?;
        let holder = Holder {
            name: "operator".to_owned(),
            roles: vec![Role::Admin],
            node: None,
            digest: digest(&token),
        };
        Ok(Access {
            places: HashMap::from([(holder.digest, 0)]),
            holders: vec![holder],
            open: vec![Role::Read, Role::Report],
            hint: format!("; the operator's is in {}", path.display()),
        })
    }

    /// Whether somebody without a token may do this; else who it is.
    ///
    /// # Errors
    /// Nobody who may.
    pub(crate) fn admit(&self, token: Option<&str>, role: Role) -> Result<Option<&Holder>, Denied> {
        let unknown = || Denied::Unknown { role, hint: self.hint.clone() };
        let Some(token) = token else {
            return if self.open.contains(&role) { Ok(None) } else { Err(unknown()) };
        };
        match self.holder(token) {
            Some(holder) if holder.may(role) => Ok(Some(holder)),
            Some(_) if self.open.contains(&role) => Ok(None),
            Some(holder) => Err(Denied::Role { name: holder.name.clone(), role }),
            None => Err(unknown()),
        }
    }

    /// Who has this token.
    pub(crate) fn holder(&self, token: &str) -> Option<&Holder> {
        let digest = digest(token);
        let found = self.holders.get(*self.places.get(&digest)?)?;
        bool::from(found.digest.ct_eq(&digest)).then_some(found)
    }

    /// Whether anything is open without a token.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The secret in this file, drawn if it is not there.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn secret(path: &Path) -> std::io::Result<String> {
    match fs::read_to_string(path) {
        Ok(secret) => Ok(secret.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => draw(path),
        Err(error) => Err(error),
    }
}

/// A secret of 256 random bits, in a file for nobody but us.
fn draw(path: &Path) -> std::io::Result<String> {
    use std::fmt::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    let token = bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(token.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# who   may             with
alice   operate         aaaaaaaaaaaaaaaaaaaaaaaa
grafana read            bbbbbbbbbbbbbbbbbbbbbbbb
edge-1  report:edge-1   cccccccccccccccccccccccc
root    admin           eeeeeeeeeeeeeeeeeeeeeeee
both    read,report     dddddddddddddddddddddddd
";

    fn may(access: &Access, token: Option<&str>) -> Vec<Role> {
        let roles = [Role::Read, Role::Report, Role::Operate, Role::Admin];
        roles.into_iter().filter(|role| access.admit(token, *role).is_ok()).collect()
    }

    #[test]
    fn each_token_may_what_its_roles_say_and_no_more() {
        let access = Access::parse(FILE).unwrap();
        let token = |letter: &str| letter.repeat(24);
        assert_eq!(may(&access, Some(&token("a"))), [Role::Read, Role::Operate]);
        assert_eq!(may(&access, Some(&token("b"))), [Role::Read]);
        assert_eq!(may(&access, Some(&token("c"))), [Role::Report]);
        assert_eq!(may(&access, Some(&token("d"))), [Role::Read, Role::Report]);
        assert_eq!(may(&access, Some(&token("e"))), [Role::Read, Role::Operate, Role::Admin]);
        assert_eq!(may(&access, Some("e")), []);
        assert_eq!(may(&access, Some("")), []);
        assert_eq!(may(&access, None), []);
    }

    #[test]
    fn a_reporter_for_one_node_reports_for_its_workers_and_for_no_other() {
        let access = Access::parse(FILE).unwrap();
        let edge = access.admit(Some(&"c".repeat(24)), Role::Report).unwrap().unwrap();
        let allowed = ["edge-1", "edge-1/3"];
        assert!(allowed.iter().all(|node| edge.may_report_for(node)));
        let others = ["edge-10", "edge-2", "", "edge", "x/edge-1"];
        assert!(others.iter().all(|node| !edge.may_report_for(node)));
        let both = access.admit(Some(&"d".repeat(24)), Role::Report).unwrap().unwrap();
        assert!(both.may_report_for("anything"));
    }

    #[test]
    fn every_wrong_line_is_named_and_no_token_shown() {
        let text = "\
alice operate aaaaaaaaaaaaaaaaaaaaaaaa
bob operate
carol owner bbbbbbbbbbbbbbbbbbbbbbbb
dave read short
erin read aaaaaaaaaaaaaaaaaaaaaaaa
alice read ffffffffffffffffffffffff
";
        let problems = Access::parse(text).unwrap_err();
        let told: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect();
        assert_eq!(
            told,
            [
                "line 2: 2 words, not three: NAME ROLE[,ROLE] TOKEN",
                "line 3: unknown role `owner`: read, report, report:NODE, operate or admin",
                "line 4: the token of `dave` has fewer than 16 characters",
                "line 5: `erin` has the same token as `alice`",
                "line 6: `alice` is there twice",
            ]
        );
        assert!(Access::parse("# nothing\n\n").is_err());
    }

    #[test]
    fn on_loopback_only_operating_needs_a_token_and_it_stays_the_same() {
        use std::os::unix::fs::PermissionsExt as _;
        let data = tempfile::tempdir().unwrap();
        let access = Access::on_loopback(data.path()).unwrap();
        assert_eq!(may(&access, None), [Role::Read, Role::Report]);
        let path = data.path().join(TOKEN_FILE);
        let token = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Access::on_loopback(data.path()).unwrap();
        let all = [Role::Read, Role::Report, Role::Operate, Role::Admin];
        assert_eq!(may(&again, Some(token.trim())), all);
        let error = access.admit(None, Role::Operate).unwrap_err().to_string();
        assert!(error.contains("operator.token"), "{error}");
    }
}
