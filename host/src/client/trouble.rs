//! What can go wrong with a request, and what to do about it.

use crossfade_protocol::Problem;
use serde::Deserialize;

use super::address::Address;
use super::token::{self, Token};
use crate::exit::{Exit, Failure};
use crate::replay::text::shown;

/// Longest sentence of a server that is repeated.
const DETAIL_CHARS_MAX: usize = 2_000;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Nobody answers there.
    #[error("no server answers at {address} ({why}): {advice}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system says.
        why: String,
        /// What to do.
        advice: String,
        /// Whether it may have got the request for all that.
        unclear: bool,
    },
    /// It may not be done with this token, or without one.
    #[error("{0}")]
    Forbidden(String),
    /// The server says no, and why.
    #[error("{detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its sentence.
        detail: String,
        /// Each problem of a document, by its path.
        problems: Vec<Problem>,
    },
    /// The server cannot do its work.
    #[error("{address} cannot answer now: {detail}")]
    Failing {
        /// Where.
        address: String,
        /// Its sentence.
        detail: String,
        /// Whether it may have done what was asked.
        unclear: bool,
    },
    /// A command was sent, and nothing certain was heard of it.
    #[error(
        "{why}. Whether it was done is not known: look with `crossfade status`, or repeat it with \
         --idempotency-key {key}, with which it is not done twice"
    )]
    Unknown {
        /// What was heard.
        why: String,
        /// The key that it was sent with.
        key: String,
    },
    /// It is not known how to ask.
    #[error("{0}")]
    Setup(String),
    /// Somebody answers, but not as a `crossfade serve` does.
    #[error("{address} does not answer as `crossfade serve` does: {why}")]
    Foreign {
        /// Where.
        address: String,
        /// What is odd.
        why: String,
    },
}

/// The body of an answer that says no (RFC 9457).
#[derive(Debug, Default, Deserialize)]
struct ProblemBody {
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    problems: Vec<Problem>,
}

impl Trouble {
    /// No answer came.
    pub(super) fn of_error(address: &Address, error: &ureq::Error) -> Trouble {
        let mut advice = "start one with `crossfade serve PLAN`, or name another with --server \
                          or CROSSFADE_SERVER"
            .to_owned();
        let why = match error {
            ureq::Error::Io(error) => match error.get_ref().and_then(rustls_text) {
                Some((why, what)) => {
                    advice = what.to_owned();
                    why
                }
                None => plain(error),
            },
            ureq::Error::Rustls(error) => {
                advice = tls_advice(&error.to_string()).to_owned();
                error.to_string()
            }
            ureq::Error::HostNotFound => {
                advice = "check --server or CROSSFADE_SERVER".to_owned();
                "there is no such host".to_owned()
            }
            ureq::Error::Timeout(_) => {
                advice = "it may be busy, or a firewall swallows the request".to_owned();
                "nothing came in time".to_owned()
            }
            error @ (ureq::Error::Http(_) | ureq::Error::BadUri(_) | ureq::Error::Pem(_)) => {
                return Trouble::Setup(error.to_string());
            }
            error @ (ureq::Error::Protocol(_)
            | ureq::Error::LargeResponseHeader(..)
            | ureq::Error::BodyExceedsLimit(_)) => {
                return Trouble::Foreign { address: address.to_string(), why: error.to_string() };
            }
            other => other.to_string(),
        };
        if matches!(error, ureq::Error::Io(_)) && may_have_arrived(error) {
            advice = "the connection broke off before its answer was here".to_owned();
        }
        let (address, why) = (address.to_string(), clean(&why));
        Trouble::Unreachable { address, why, advice, unclear: may_have_arrived(error) }
    }

    /// An answer came, and it says no.
    pub(super) fn of_answer(
        status: u16,
        body: &[u8],
        address: &Address,
        token: &Token,
        role: &str,
    ) -> Trouble {
        let is_problem = serde_json::from_slice::<ProblemBody>(body);
        let ours = is_problem.is_ok();
        let ProblemBody { title, detail, problems } = is_problem.unwrap_or_default();
        // How to send one over HTTP is our business.
        let detail = detail.replace(": send `authorization: Bearer TOKEN`", "");
        let detail = clean(if detail.is_empty() { &title } else { &detail });
        let said = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        match (status, token.source()) {
            (401, None) => Trouble::Forbidden(format!(
                "{address} wants a token with the role `{role}`{said}: give it with --token-file \
                 FILE or in {}. For a server on this machine {} is looked at, too; `crossfade serve` \
                 writes it where it is started",
                token::VARIABLE,
                token::DEFAULT_FILE
            )),
            (401, Some(source)) => Trouble::Forbidden(format!(
                "{address} does not know the token from {source}{said}: give another with \
                 --token-file FILE or {}",
                token::VARIABLE
            )),
            (403, source) => Trouble::Forbidden(format!(
                "{address} does not allow this with {}{said}: it takes a token with the role \
                 `{role}`, by --token-file FILE or {}",
                source.map_or("no token".to_owned(), |source| format!("the token from {source}")),
                token::VARIABLE
            )),
            (400..=499, _) if ours && status != 429 => {
                let detail =
                    if detail.is_empty() { format!("HTTP status {status}") } else { detail };
                Trouble::Refused { status, detail, problems }
            }
            (429 | 500..=599, _) => {
                let detail =
                    if detail.is_empty() { format!("HTTP status {status}") } else { detail };
                // What was turned away at the door, or says itself that it was not done.
                let undone = status == 429 || (status == 503 && ours);
                Trouble::Failing { address: address.to_string(), detail, unclear: !undone }
            }
            _ => Trouble::Foreign {
                address: address.to_string(),
                why: format!("HTTP status {status}; is --server right?"),
            },
        }
    }

    /// Whether the same request may well succeed a little later.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Trouble::Unreachable { .. } | Trouble::Failing { .. })
    }

    /// Whether nobody answers.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Trouble::Unreachable { .. })
    }

    /// Whether what was asked may have been done.
    pub(super) fn is_unclear(&self) -> bool {
        match self {
            Trouble::Unreachable { unclear, .. } | Trouble::Failing { unclear, .. } => *unclear,
            Trouble::Unknown { .. } => true,
            Trouble::Foreign { .. }
            | Trouble::Forbidden(_)
            | Trouble::Refused { .. }
            | Trouble::Setup(_) => false,
        }
    }

    /// The same after a command that was sent with this key.
    pub(super) fn unknown(self, key: String) -> Trouble {
        Trouble::Unknown { why: self.to_string().trim_end_matches('.').to_owned(), key }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        let exit = match &trouble {
            Trouble::Unreachable { .. }
            | Trouble::Failing { .. }
            | Trouble::Unknown { .. }
            | Trouble::Foreign { .. } => Exit::Unavailable,
            Trouble::Forbidden(_) => Exit::NoPermission,
            Trouble::Refused { .. } => Exit::Data,
            Trouble::Setup(_) => Exit::Usage,
        };
        let mut message = trouble.to_string();
        if let Trouble::Refused { problems, .. } = &trouble {
            for Problem { path, message: text } in problems {
                message += "\n";
                message +=
                    &clean(&format!("{path}{}{text}", if path.is_empty() { "" } else { ": " }));
            }
        }
        Failure::new(exit, message)
    }
}

/// Whether a request may have been read before this went wrong.
fn may_have_arrived(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    use ureq::Timeout::{Connect, Resolve};
    match error {
        ureq::Error::Io(error) => {
            let never = [ConnectionRefused, HostUnreachable, NetworkUnreachable];
            !never.contains(&error.kind()) && error.get_ref().and_then(rustls_text).is_none()
        }
        ureq::Error::Timeout(Connect | Resolve)
        | ureq::Error::Rustls(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed => false,
        _ => true,
    }
}

/// A server's words, fit for a terminal, with the names of commands in the place of those
/// of messages.
fn clean(text: &str) -> String {
    let mut text = shown(text.as_bytes(), DETAIL_CHARS_MAX);
    for verb in ["pause", "resume", "promote", "abort", "retry", "undo"] {
        text = text.replace(&format!("`{verb}_rollout`"), &format!("`crossfade {verb}`"));
    }
    text
}

/// What the system says, without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text).to_owned();
    let mut characters = text.chars();
    // "Connection refused" stands within a sentence.
    characters
        .next()
        .map_or(String::new(), |first| first.to_lowercase().chain(characters).collect())
}

/// What rustls says within an error of the stream, and what to do.
fn rustls_text(
    error: &(dyn std::error::Error + Send + Sync + 'static),
) -> Option<(String, &'static str)> {
    let text = error.to_string();
    let is_tls = text.contains("certificate") || text.contains("corrupt message");
    is_tls.then(|| {
        let advice = tls_advice(&text);
        (text, advice)
    })
}

fn tls_advice(text: &str) -> &'static str {
    if text.contains("UnknownIssuer") {
        "give the certificate of its authority with --cacert FILE"
    } else if text.contains("certificate") {
        "its certificate is not for this name or this time"
    } else {
        "does it speak plain http://?"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(status: u16, body: &str) -> Trouble {
        let address = Address::read("http://127.0.0.1:7400").unwrap();
        Trouble::of_answer(status, body.as_bytes(), &address, &Token::none(), "operate")
    }

    fn failure(status: u16, body: &str) -> Failure {
        Failure::from(trouble(status, body))
    }

    #[test]
    fn each_status_has_its_exit_code() {
        let body = r#"{"title":"t","detail":"Says why."}"#;
        for (status, exit) in [
            (400, Exit::Data),
            (401, Exit::NoPermission),
            (403, Exit::NoPermission),
            (404, Exit::Data),
            (409, Exit::Data),
            (412, Exit::Data),
            (422, Exit::Data),
            (428, Exit::Data),
            (429, Exit::Unavailable),
            (500, Exit::Unavailable),
            (503, Exit::Unavailable),
            (302, Exit::Unavailable),
        ] {
            let failure = failure(status, body);
            assert_eq!(failure.exit, exit, "{status}");
            assert!(status == 302 || failure.message.contains("Says why."), "{failure}");
        }
    }

    #[test]
    fn only_what_may_have_been_done_is_not_known() {
        let ours = r#"{"title":"t","detail":"Says why."}"#;
        for (status, body, unclear) in [
            (503, ours, false),
            (503, "<html>upstream connect error</html>", true),
            (504, ours, true),
            (502, "", true),
            (500, ours, true),
            (429, ours, false),
            (409, ours, false),
            (404, "<html>", false),
            (403, ours, false),
        ] {
            assert_eq!(trouble(status, body).is_unclear(), unclear, "{status} {body}");
        }
        let text = trouble(504, ours).unknown("k".to_owned()).to_string();
        assert!(text.starts_with("http://127.0.0.1:7400 cannot answer now: Says why. Whether it"));
    }

    #[test]
    fn what_is_no_answer_of_ours_is_said() {
        let failure = failure(404, "<html>Not found</html>");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert_eq!(
            failure.message,
            "http://127.0.0.1:7400 does not answer as `crossfade serve` does: HTTP status 404; \
             is --server right?"
        );
    }

    #[test]
    fn a_missing_token_says_where_it_is_looked_for() {
        let failure = failure(401, "");
        for text in ["--token-file", "CROSSFADE_TOKEN", "operator.token", "`operate`"] {
            assert!(failure.message.contains(text), "{text}: {failure}");
        }
    }

    #[test]
    fn messages_become_commands() {
        let body =
            r#"{"detail":"cannot: `resume_rollout` lets it go on, `abort_rollout` ends it"}"#;
        let expected = "cannot: `crossfade resume` lets it go on, `crossfade abort` ends it";
        assert_eq!(failure(409, body).message, expected);
    }

    #[test]
    fn problems_are_listed_and_nothing_moves_the_cursor() {
        let body = r#"{"detail":"The plan has 1 problem.\u001b[2J","problems":[{"path":"split.v3","message":"unknown\u0007"}]}"#;
        let failure = failure(422, body);
        assert_eq!(failure.message, "The plan has 1 problem.\\x1b[2J\nsplit.v3: unknown\\x07");
    }
}
