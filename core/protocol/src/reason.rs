//! Why a request went where it went.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why a request went where it went. `docs/protocol.md` has the order in which the
        /// causes are tried.
        ///
        /// Codes are part of the ABI: a code is never reused for another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum Reason { $($(#[doc = $doc])* $name = $code,)* }

        impl Reason {
            /// Every reason, in the order of their codes.
            pub const ALL: [Reason; [$($code),*].len()] = [$(Reason::$name),*];

            /// The name in messages, metrics and logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }

            /// The reason with this ABI code, if this build knows it.
            pub fn from_code(code: u8) -> Option<Reason> {
                match code { $($code => Some(Reason::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    /// The policy's kill switch is on: everything goes to the stable version.
    KillSwitch = 1, "kill_switch";
    /// The node's local guard saw too many failures of the new version.
    Guard = 2, "guard";
    /// A brownout refuses this call to an old version.
    Brownout = 3, "brownout";
    /// The policy pins this key to a version.
    Pin = 4, "pin";
    /// A rule matched and names a version, or its own split decided.
    Rule = 5, "rule";
    /// The weights of a split decided.
    Split = 6, "split";
    /// A canary percentage decided.
    Canary = 7, "canary";
    /// A share by key was asked for, but the request has no key.
    NoKey = 8, "no_key";
    /// Nothing else applied: the stable version.
    Stable = 9, "stable";
    /// The sunset has passed: calls to an old version are refused.
    Gone = 10, "gone";
    /// This client was taken back to the stable version, since the new one fails for it.
    PinnedBack = 11, "pinned_back";
    /// This client has declared that it is ready: it is among the first.
    Ready = 12, "ready";
    /// This client has declared that it is blocked: it is among the last.
    Blocked = 13, "blocked";
}

impl Reason {
    /// The number that stands for this reason in a
    /// [`RouteWord`](crate::abi::RouteWord), 1 to 127.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether the call is to be refused, not served.
    pub fn refuses(self) -> bool {
        matches!(self, Reason::Brownout | Reason::Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_names_and_serde_agree() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert_eq!(Reason::from_code(0), None);
    }
}
