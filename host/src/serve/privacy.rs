//! Who called, as it is kept: under `privacy: hashed` as a keyed hash.
//!
//! The key lies beside the store and never in it, so whoever has a copy of the store alone
//! cannot try names against it. It has to stay the same: with another one everybody is new.

use std::path::Path;

use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::access::secret;
use super::shared::Published;

/// The file with the key in the data directory.
pub(crate) const KEY_FILE: &str = "privacy.key";

/// Of the 32 bytes of a hash, enough that no two clients of a billion share one.
const HASH_BYTES: usize = 16;

/// Hashes identities.
#[derive(Clone)]
pub(crate) struct Identities(Hmac<Sha256>);

impl Identities {
    /// With the key in this data directory, drawn if it is not there.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn load(data: &Path) -> std::io::Result<Identities> {
        let key = secret(&data.join(KEY_FILE))?;
        let hash = Hmac::new_from_slice(key.as_bytes());
        hash.map(Identities).map_err(|error| std::io::Error::other(error.to_string()))
    }

    /// Puts hashes in the place of the `user_id` of each outcome, if the policy asks for it.
    /// What is no text is left for the engine to refuse.
    pub(crate) fn hide(&self, policy: Option<&Published>, outcomes: &mut Value) {
        let hashed = policy.is_none_or(|policy| policy.document["privacy"] == "hashed");
        if !hashed {
            return;
        }
        for outcome in outcomes.as_array_mut().into_iter().flatten() {
            if let Some(Value::String(id)) = outcome.get_mut("user_id") {
                *id = self.hash(id);
            }
        }
    }

    /// `h:` and 32 hexadecimal digits.
    fn hash(&self, id: &str) -> String {
        use std::fmt::Write as _;
        let mut hash = self.0.clone();
        hash.update(id.as_bytes());
        let bytes = hash.finalize().into_bytes();
        bytes.iter().take(HASH_BYTES).fold("h:".to_owned(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
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
        let identities = Identities(Hmac::new_from_slice(b"Jefe").unwrap());
        let hash = identities.hash("what do ya want for nothing?");
        assert_eq!(hash, "h:5bdcc146bf60754e6a042426089575c7");
    }
}
