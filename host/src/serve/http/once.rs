//! `Idempotency-Key`: a command that comes twice is done once.
//!
//! The field of draft-ietf-httpapi-idempotency-key-header: a string in quotes. Without them
//! it is taken, too, since many send it so.

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::App;
use super::problem::Answered;
use crate::serve::job;

/// The field's name.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says of an answer that it was given before.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The longest key: four UUIDs and a bit.
const KEY_CHARS_MAX: usize = 200;

/// The key of a command, if it has one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Once(Option<String>);

impl Once {
    /// For a command that is told from others by this: what is asked for, and why.
    pub(super) fn of(self, command: &Value) -> Option<job::Once> {
        let digest = Sha256::digest(command.to_string());
        let request = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.map(|key| job::Once { key, request })
    }

    fn read(text: &[u8]) -> Result<Once, String> {
        let text = str::from_utf8(text).map_err(|_| "it is not ASCII")?.trim();
        let quoted = text
            .strip_prefix('"')
            .map(|text| text.strip_suffix('"').ok_or("\" is missing at its end"));
        let key = quoted.transpose()?.unwrap_or(text);
        let fits = |c: char| c.is_ascii_graphic() && !"\"\\,;".contains(c);
        match key.chars().find(|c| !fits(*c)) {
            _ if key.is_empty() => Err("it is empty".to_owned()),
            _ if key.len() > KEY_CHARS_MAX => {
                Err(format!("it has {} characters, over {KEY_CHARS_MAX}", key.len()))
            }
            Some(odd) => Err(format!("{odd:?} is in it")),
            None => Ok(Once(Some(key.to_owned()))),
        }
    }
}

impl FromRequestParts<App> for Once {
    type Rejection = Answered;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Once, Answered> {
        let mut given = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let once = match (given.next(), given.next()) {
            (None, _) => Ok(Once(None)),
            (Some(key), None) => Once::read(key.as_bytes()),
            _ => Err("it is there twice".to_owned()),
        };
        once.map_err(|why| {
            let detail = format!(
                "idempotency-key: {why}: a random text of up to {KEY_CHARS_MAX} letters, digits \
                 and marks is right, in quotes, a new one for each command"
            );
            Answered::new(400, detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_string_with_or_without_quotes() {
        let key = |text: &str| Once::read(text.as_bytes()).map(|Once(key)| key.unwrap());
        assert_eq!(key("\"8e03978e-40d5\""), Ok("8e03978e-40d5".to_owned()));
        assert_eq!(key(" 8e03978e-40d5 "), Ok("8e03978e-40d5".to_owned()));
        let longest = "k".repeat(KEY_CHARS_MAX);
        assert_eq!(key(&longest), Ok(longest.clone()));
        for (wrong, why) in [
            ("", "empty"),
            ("\"\"", "empty"),
            ("\"a", "missing"),
            ("a\"", "is in it"),
            ("a b", "' ' is in it"),
            ("\"a\", \"b\"", "is in it"),
            ("é", "is in it"),
            (format!("{longest}k").as_str(), "201 characters"),
        ] {
            let said = key(wrong).unwrap_err();
            assert!(said.contains(why), "{wrong}: {said}");
        }
        assert!(Once::read(&[0xff]).is_err());
    }

    #[test]
    fn another_reason_is_another_command() {
        let of = |reason: &str| Once(Some("k".into())).of(&serde_json::json!(["pause", reason]));
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_eq!(Once(None).of(&Value::Null), None);
    }
}
