//! What a shadow has compared, in a sentence.

use super::page::{Tone, percent};
use crate::replay::grouped;
/// Of `GET /v1/life` and of the status, while the plan has a shadow.
pub(crate) use crate::serve::openapi::documents::Shadow;

impl Shadow {
    /// `812 of 1,000 compared, 3 differed`, with what else there is to say.
    pub(crate) fn sentence(&self) -> String {
        let mut text = format!(
            "{} of {} compared, {} differed",
            grouped(self.compared),
            grouped(self.min_requests),
            grouped(self.differed)
        );
        if self.differed > 0 {
            let share = self.differed as f64 * 100.0 / self.compared.max(1) as f64;
            let most = percent(self.max_mismatch * 100.0);
            text += &format!(" ({}, at most {most} may)", percent(share));
        }
        if self.failures > 0 {
            text += &format!(", {} of them failed", grouped(self.failures));
        }
        if self.dropped > 0 {
            text += &format!("; {} were not mirrored for want of room", grouped(self.dropped));
        }
        text
    }

    /// Whether that is enough to leave it.
    pub(crate) fn is_enough(&self) -> bool {
        self.compared >= self.min_requests && self.is_alike()
    }

    /// Few enough differ, so far.
    fn is_alike(&self) -> bool {
        self.differed as f64 <= self.compared as f64 * self.max_mismatch
    }

    pub(crate) fn tone(&self) -> Tone {
        match (self.is_enough(), self.is_alike()) {
            (true, _) => Tone::Good,
            (false, true) => Tone::Plain,
            (false, false) => Tone::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check((compared, differed, failures, dropped): (u64, u64, u64, u64), expected: &str) {
        let (min_requests, max_mismatch) = (1000, 0.01);
        let shadow = Shadow { compared, differed, failures, dropped, min_requests, max_mismatch };
        assert_eq!(shadow.sentence(), expected);
        assert_eq!(shadow.tone() == Tone::Good, compared == 1000 && differed <= 10);
        assert_eq!(shadow.tone() == Tone::Bad, differed == 11);
    }

    #[test]
    fn what_there_is_to_say_is_said() {
        check((0, 0, 0, 0), "0 of 1,000 compared, 0 differed");
        check((812, 3, 0, 0), "812 of 1,000 compared, 3 differed (0.37 %, at most 1 % may)");
        check(
            (1000, 10, 2, 41),
            "1,000 of 1,000 compared, 10 differed (1 %, at most 1 % may), 2 of them failed; \
             41 were not mirrored for want of room",
        );
        check((1000, 11, 0, 0), "1,000 of 1,000 compared, 11 differed (1.1 %, at most 1 % may)");
    }
}
