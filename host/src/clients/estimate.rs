//! How many clients there are, where some of them may not have been counted.

use crossfade_protocol::share::Share;

use super::Listed;
use crate::replay::grouped;

/// A number of clients: the number itself, or what a sample says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// The best guess; the number itself when it is exact.
    pub(crate) value: u64,
    /// Whether everybody was counted.
    pub(crate) exact: bool,
    /// From and to, with 95 % confidence, where a sample says so.
    pub(crate) bounds: Option<(u64, u64)>,
}

impl Estimate {
    /// Everybody was counted.
    pub(crate) fn exact(value: u64) -> Estimate {
        Estimate { value, exact: true, bounds: None }
    }

    /// `1,234 clients`, `about 5,000 clients (4,800 to 5,200, 95 % confidence)`, `at most 98
    /// clients`. What is not exact is never shown as if it were, least of all as none.
    pub(crate) fn text(&self) -> String {
        let clients = |count: u64| {
            format!("{} {}", grouped(count), if count == 1 { "client" } else { "clients" })
        };
        match (self.exact, self.bounds) {
            (true, _) => clients(self.value),
            (false, Some((_, high))) if self.value == 0 => {
                format!("at most {} (95 % confidence)", clients(high))
            }
            (false, Some((low, high))) => format!(
                "about {} ({} to {}, 95 % confidence)",
                clients(self.value),
                grouped(low),
                grouped(high)
            ),
            (false, None) => format!("at least {}", clients(self.value)),
        }
    }

    /// Both together. The bounds hold for the sum as they do for the parts, and are wider
    /// than need be.
    pub(crate) fn plus(self, other: Estimate) -> Estimate {
        let (low, high) = self.range();
        let (other_low, other_high) = other.range();
        let exact = self.exact && other.exact;
        let unbounded = |part: &Estimate| !part.exact && part.bounds.is_none();
        let bounds = (!exact && !unbounded(&self) && !unbounded(&other))
            .then_some((low.saturating_add(other_low), high.saturating_add(other_high)));
        Estimate { value: self.value.saturating_add(other.value), exact, bounds }
    }

    /// This share of them.
    pub(crate) fn part(self, share: Share) -> Estimate {
        let of = |count: u64| (count as f64 * share.percent() / 100.0).round() as u64;
        Estimate {
            value: of(self.value),
            exact: false,
            bounds: self.bounds.map(|(low, high)| (of(low), of(high))),
        }
    }

    /// What `found` of the `kept` clients that are known by name say of all of these.
    ///
    /// The interval is Wilson's, as the server's own: those numbers of clients of which a
    /// sample that keeps one in so many would give `found` within 1.96 standard deviations;
    /// without any, it ends where three would be expected.
    pub(crate) fn of_sample(self, found: u64, kept: u64) -> Estimate {
        const Z: f64 = 1.96;
        if self.exact || kept == 0 {
            let bounds = self.bounds.map(|(_, high)| (0, high));
            return Estimate { value: found, exact: self.exact, bounds };
        }
        // Without bounds nobody knows how many were left out: what was found is the least.
        let Some((_, most)) = self.bounds else { return Estimate { value: found, ..self } };
        let rate = (kept as f64 / self.value as f64).min(1.0);
        let (found_f, left) = (found as f64, 1.0 - rate);
        let middle = 2.0 * found_f + Z * Z * left;
        let far = Z * (left * (4.0 * found_f + Z * Z * left)).sqrt();
        let [low, high] = match found {
            0 => [0.0, 3.0 / rate],
            _ => [(middle - far) / (2.0 * rate), (middle + far) / (2.0 * rate)],
        };
        let value = (found_f / rate).round() as u64;
        let bounds = ((low as u64).clamp(found, value), (high.ceil() as u64).clamp(value, most));
        Estimate { value, exact: false, bounds: Some(bounds) }
    }

    fn range(&self) -> (u64, u64) {
        self.bounds.unwrap_or((self.value, self.value))
    }
}

impl Listed {
    /// How many there are, listed or not.
    pub(crate) fn estimate(&self) -> Estimate {
        let bounds = self.low.zip(self.high).filter(|_| !self.exact);
        Estimate { value: self.total, exact: self.exact, bounds }
    }

    /// What so many rows of a spreadsheet do not say themselves: that they are a sample.
    pub(crate) fn sampled(&self, rows: u64) -> Option<String> {
        let (rows, total) = (grouped(rows), self.estimate().text());
        (!self.exact).then(|| format!("a sample: {rows} rows were written, and there are {total}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(value: u64, low: u64, high: u64) -> Estimate {
        Estimate { value, exact: false, bounds: Some((low, high)) }
    }

    #[test]
    fn what_is_not_exact_is_never_shown_as_if_it_were() {
        let check = |estimate: Estimate, expected: &str| assert_eq!(estimate.text(), expected);
        check(Estimate::exact(0), "0 clients");
        check(Estimate::exact(1), "1 client");
        check(Estimate::exact(5_000), "5,000 clients");
        let about = "about 5,000 clients (4,800 to 5,200, 95 % confidence)";
        check(sampled(5_000, 4_800, 5_200), about);
        check(sampled(0, 0, 98), "at most 98 clients (95 % confidence)");
        check(Estimate { bounds: None, ..sampled(5_000, 0, 0) }, "at least 5,000 clients");
    }

    #[test]
    fn a_part_of_a_sample_stands_for_that_part_of_everybody() {
        let all = sampled(19_296, 17_800, 20_900);
        let hit = all.of_sample(241, 603);
        assert_eq!(hit.value, 7_712, "two fifths");
        let (low, high) = hit.bounds.unwrap();
        assert!((6_700..6_900).contains(&low) && (8_700..8_900).contains(&high), "{low} {high}");
        assert_eq!(all.of_sample(0, 603), sampled(0, 0, 96));
        assert_eq!(all.of_sample(603, 603).value, 19_296);
        assert_eq!(Estimate::exact(603).of_sample(241, 603), Estimate::exact(241));
        assert_eq!(Estimate::exact(0).of_sample(0, 0), Estimate::exact(0));
        let none = sampled(0, 0, 90).of_sample(0, 0);
        assert_eq!(none, sampled(0, 0, 90), "nobody is kept, and there may be some");
    }

    #[test]
    fn sums_and_shares_keep_their_bounds() {
        assert_eq!(Estimate::exact(3).plus(Estimate::exact(4)), Estimate::exact(7));
        assert_eq!(sampled(100, 80, 120).plus(Estimate::exact(5)), sampled(105, 85, 125));
        let half = Share::from_percent(50.0).unwrap();
        assert_eq!(sampled(100, 80, 120).part(half), sampled(50, 40, 60));
        let unknown = Estimate { value: 7, exact: false, bounds: None };
        assert_eq!(unknown.plus(sampled(1, 0, 4)), Estimate { value: 8, ..unknown });
    }
}
