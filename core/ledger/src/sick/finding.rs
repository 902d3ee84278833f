//! Why a client is called sick.

use crossfade_protocol::words::counted;

use super::Served;

/// A client that is called sick, with the evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// Its id.
    pub client: u64,
    /// It was watched from here, in seconds since 1970.
    pub since_s: u32,
    /// What it did on the new version since.
    pub new: Served,
    /// What it had done on the old versions.
    pub old: Served,
    /// What all others did on the new version meanwhile.
    pub others: Served,
    /// It was allowed to fail about this often.
    pub allowed: f64,
    /// The logarithm of the e-value against its being well.
    pub log_e: f64,
    /// What that had to reach among so many clients.
    pub needed: f64,
}

impl Finding {
    /// One sentence for people, in which the client is called `name`.
    pub fn sentence(&self, name: &str, old: &str, new: &str) -> String {
        let per_mille = |served: Served| libm::round(served.ratio() * 1_000.0) / 10.0;
        format!(
            "{name} fails on {new}: {} of {} ({} %), on {old} {} % of {}, all others on \
             {new} {} %; evidence 10^{} against its being chance, 10^{} was asked for",
            self.new.failures,
            counted(self.new.requests, "request"),
            per_mille(self.new),
            per_mille(self.old),
            self.old.requests,
            per_mille(self.others),
            power(self.log_e),
            power(self.needed),
        )
    }
}

/// Of ten, rounded to tenths.
fn power(log: f64) -> f64 {
    libm::round(log / std::f64::consts::LN_10 * 10.0) / 10.0
}
