//! Who called, as it is kept: under `privacy: hashed` as a keyed hash.
//!
//! The key lies beside the store and never in it, so whoever has a copy of the store alone
//! cannot try names against it. It has to stay the same: with another one everybody is new.
//! Where it must not stay the same, [`rotate()`] draws another: what comes from then on is
//! hashed with that, and for a while a name is looked for under the key before, too.

mod rotate;

use std::path::Path;

use crossfade_protocol::clients::ClientsReport;
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::access::secret;
use super::job::{HASH_BYTES, is_hash};
use super::shared::Published;

pub(crate) use rotate::{GRACE_DAYS, rotate};

/// The file with the key in the data directory.
pub(crate) const KEY_FILE: &str = "privacy.key";

/// Hashes identities.
#[derive(Clone)]
pub(crate) struct Identities {
    key: Hmac<Sha256>,
    /// The key before, and until when it is of use, in Unix milliseconds.
    before: Option<(Hmac<Sha256>, u64)>,
}

impl Identities {
    /// With the key in this data directory, drawn if it is not there.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn load(data: &Path) -> std::io::Result<Identities> {
        let key = keyed(&secret(&data.join(KEY_FILE))?)?;
        let before = match rotate::before(data)? {
            Some(old) => Some((keyed(&old.key)?, old.until_ms)),
            None => None,
        };
        Ok(Identities { key, before })
    }

    /// Whether the policy asks for hashes. One that is not known yet may.
    pub(crate) fn is_hashed(policy: Option<&Published>) -> bool {
        policy.is_none_or(|policy| policy.document["privacy"] == "hashed")
    }

    /// Puts hashes in the place of the `user_id` of each outcome, if the policy asks for it.
    /// What is no text is left for the engine to refuse.
    pub(crate) fn hide(&self, policy: Option<&Published>, outcomes: &mut Value) {
        if !Identities::is_hashed(policy) {
            return;
        }
        for outcome in outcomes.as_array_mut().into_iter().flatten() {
            if let Some(Value::String(id)) = outcome.get_mut("user_id") {
                *id = self.hash(id);
            }
        }
    }

    /// The same for every client of a node's report. Whether there was anything to do.
    pub(crate) fn hide_clients(
        &self,
        policy: Option<&Published>,
        report: &mut ClientsReport,
    ) -> bool {
        let hashed = Identities::is_hashed(policy);
        if hashed {
            report.clients.iter_mut().for_each(|row| row.key = self.hash(&row.key));
        }
        hashed
    }

    /// Under which names somebody may be known or told of, the likeliest first: as given, as
    /// a hash, and as a hash of the key before while that is of use. Whatever the policy says
    /// of privacy, for the audit log has hashes, plans and reasons have names, and what a
    /// policy said before may still be there. A hash, copied from a list of clients, is taken
    /// as it is.
    pub(crate) fn names(
        &self,
        policy: Option<&Published>,
        given: &str,
        now_ms: u64,
    ) -> Vec<String> {
        let plain = given.to_owned();
        if is_hash(given) {
            return vec![plain];
        }
        let before = self.before.as_ref().filter(|(_, until_ms)| now_ms < *until_ms);
        let before = before.map(|(key, _)| hash(key, given));
        let mut names: Vec<String> = [self.hash(given)].into_iter().chain(before).collect();
        let place = if Identities::is_hashed(policy) { names.len() } else { 0 };
        names.insert(place, plain);
        names
    }

    /// `h:` and 32 hexadecimal digits.
    pub(crate) fn hash(&self, id: &str) -> String {
        hash(&self.key, id)
    }
}

fn keyed(key: &str) -> std::io::Result<Hmac<Sha256>> {
    Hmac::new_from_slice(key.as_bytes()).map_err(|error| std::io::Error::other(error.to_string()))
}

fn hash(key: &Hmac<Sha256>, id: &str) -> String {
    use std::fmt::Write as _;
    let mut hash = key.clone();
    hash.update(id.as_bytes());
    let bytes = hash.finalize().into_bytes();
    bytes.iter().take(HASH_BYTES).fold("h:".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::serve::store::PolicyRow;

    fn policy(privacy: &str) -> Published {
        let document = json!({ "privacy": privacy });
        let (who, why) = (String::new(), String::new());
        Published::of(&PolicyRow { revision: 1, at_ms: 0, who, why, document })
    }

    #[test]
    fn only_what_the_policy_says_is_hashed_and_always_alike() {
        let data = tempfile::tempdir().unwrap();
        let identities = Identities::load(data.path()).unwrap();
        let plain = json!([{ "user_id": "ann", "ok": true }, { "ok": true }, { "user_id": 7 }]);
        let hidden = |identities: &Identities, policy: Option<&Published>| {
            let mut outcomes = plain.clone();
            identities.hide(policy, &mut outcomes);
            outcomes
        };
        assert_eq!(hidden(&identities, Some(&policy("plain"))), plain);
        let hashed = hidden(&identities, Some(&policy("hashed")));
        let id = hashed[0]["user_id"].as_str().unwrap();
        assert!(id.starts_with("h:") && id.len() == 34, "{id}");
        assert_eq!((&hashed[1], &hashed[2]), (&plain[1], &plain[2]));
        assert_eq!(hidden(&identities, None), hashed, "not known yet is hashed, too");
        let again = Identities::load(data.path()).unwrap();
        assert_eq!(hidden(&again, Some(&policy("hashed"))), hashed);
        let other = Identities::load(tempfile::tempdir().unwrap().path()).unwrap();
        assert_ne!(hidden(&other, Some(&policy("hashed"))), hashed);
    }

    /// RFC 4231, test case 2: key \"Jefe\".
    #[test]
    fn the_hash_is_hmac_sha_256() {
        let identities = Identities { key: keyed("Jefe").unwrap(), before: None };
        let hash = identities.hash("what do ya want for nothing?");
        assert_eq!(hash, "h:5bdcc146bf60754e6a042426089575c7");
    }

    #[test]
    fn somebody_is_looked_for_as_given_as_hashed_and_as_hashed_before() {
        let key = |text: &str| keyed(text).unwrap();
        let identities = Identities { key: key("new"), before: Some((key("old"), 1_000)) };
        let names = |privacy: &str, given: &str, now_ms| {
            identities.names(Some(&policy(privacy)), given, now_ms)
        };
        let (new, old) = (hash(&key("new"), "ann"), hash(&key("old"), "ann"));
        assert_eq!(names("plain", "ann", 0), ["ann", &new, &old]);
        assert_eq!(names("hashed", "ann", 999), [&new, &old, "ann"]);
        assert_eq!(names("hashed", "ann", 1_000), [&new, "ann"]);
        assert_eq!(names("hashed", &new, 0), vec![new.clone()], "a hash stays as it is");
        assert_ne!(names("hashed", "h:ann", 0)[0], "h:ann");
    }
}
