//! What was decided for one request, and why.

use crossfade_protocol::Reason;

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The version, as its place in the policy's list. Of a call that is refused, the one
    /// that would have served it.
    pub version: u16,
    /// Whether a canary percentage was in force, and if so whether it chose the new
    /// version.
    pub canary: Option<bool>,
    /// What decided.
    pub reason: Reason,
    /// The bucket that decided, where one did.
    pub bucket: Option<u16>,
    /// The rule that decided, as its place in the policy's list.
    pub rule: Option<u16>,
    /// The brownout that refuses the call, as its place in the policy's list.
    pub brownout: Option<u16>,
}

impl Decision {
    /// A decision that no share took part in.
    #[inline]
    pub(crate) fn plain(version: u16, reason: Reason) -> Decision {
        Decision { version, canary: None, reason, bucket: None, rule: None, brownout: None }
    }
}

/// Listens to how a decision comes about.
///
/// [`decide`](crate::Policy::decide) uses the one that hears nothing, and compiles to
/// code without it.
pub trait Trace {
    /// One stage was tried: what it looked at and what came of it.
    fn stage(&mut self, name: &'static str, outcome: impl FnOnce() -> String);
}

/// Hears nothing.
#[derive(Debug)]
pub struct NoTrace;

impl Trace for NoTrace {
    #[inline]
    fn stage(&mut self, _: &'static str, _: impl FnOnce() -> String) {}
}

impl Trace for Vec<(&'static str, String)> {
    fn stage(&mut self, name: &'static str, outcome: impl FnOnce() -> String) {
        self.push((name, outcome()));
    }
}
