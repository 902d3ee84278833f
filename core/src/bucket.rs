//! Buckets: where a key falls among the 10,000.
//!
//! The function is frozen and named `xxh64/1` in every policy:
//! `bucket = xxh64(key, seed) % 10_000`, with `seed = 0` for an empty salt and
//! `xxh64(salt, 0)` otherwise. Golden values are in `tests/vectors/buckets.json`.

use crossfade_protocol::plan::Shadow;
use crossfade_protocol::share::BUCKETS;
use xxhash_rust::xxh64::xxh64;

/// What is mixed into the hash, computed once per policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The seed of a policy's salt.
    pub fn of_salt(salt: &str) -> Seed {
        if salt.is_empty() { Seed(0) } else { Seed(xxh64(salt.as_bytes(), 0)) }
    }

    /// The seed of a rule's own split: that of the salt `{salt}/rules/{name}`.
    ///
    /// Independent of the policy's, or 10 % of a segment would be just those that a
    /// 10 % ramp outside has already chosen.
    pub fn of_rule(salt: &str, name: &str) -> Seed {
        Seed::of_salt(&format!("{salt}/rules/{name}"))
    }

    /// The seed of a brownout: that of the salt `{salt}/brownouts/{name}`.
    ///
    /// Independent of the policy's, or it would be the last ones of a ramp whom every
    /// brownout hits.
    pub fn of_brownout(salt: &str, name: &str) -> Seed {
        Seed::of_salt(&format!("{salt}/brownouts/{name}"))
    }

    /// The seed of the shadow: that of [`Shadow::salt`].
    pub fn of_shadow(salt: &str) -> Seed {
        Seed::of_salt(&Shadow::salt(salt))
    }
}

/// The bucket of a key, 0 to 9,999.
#[inline]
pub fn bucket_of_key(key: &[u8], seed: Seed) -> u16 {
    (xxh64(key, seed.0) % u64::from(BUCKETS)) as u16
}

/// The bucket of a draw that is uniform over `u32`.
#[inline]
pub fn bucket_of_draw(draw: u32) -> u16 {
    ((u64::from(draw) * u64::from(BUCKETS)) >> 32) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_everyone_knows() {
        assert_eq!(bucket_of_key(b"user123", Seed::of_salt("")), 4497);
    }

    #[test]
    fn salts_give_other_buckets() {
        let salted = Seed::of_salt("2027");
        assert_ne!(salted, Seed::of_salt(""));
        assert_ne!(Seed::of_rule("", "beta"), Seed::of_salt(""));
        assert_ne!(Seed::of_rule("", "beta"), Seed::of_rule("", "gamma"));
    }

    #[test]
    fn draws_reach_the_first_and_the_last_bucket() {
        assert_eq!(bucket_of_draw(0), 0);
        assert_eq!(bucket_of_draw(u32::MAX), BUCKETS - 1);
    }
}
