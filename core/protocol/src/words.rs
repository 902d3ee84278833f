//! Numbers with their nouns, for people: one day, two days.

/// The ending of a noun, or of the verb that goes with it the other way round.
///
/// ```
/// use crossfade_protocol::words::plural;
/// assert_eq!(format!("{} day{}", 2, plural(2 == 1)), "2 days");
/// ```
pub fn plural(one: bool) -> &'static str {
    if one { "" } else { "s" }
}

/// `1 client`, `2 clients`, `0 clients`.
#[inline(never)]
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", plural(count == 1))
}

/// The same of what need not be whole: `1 minute`, `0.5 minutes`.
#[inline(never)]
pub fn measured(amount: f64, noun: &str) -> String {
    format!("{amount} {noun}{}", plural(amount == 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural_and_everything_else_is() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "day")), ["0 days", "1 day", "2 days"]);
        let minutes = [0.0, 0.5, 1.0, 1.5].map(|n| measured(n, "minute"));
        assert_eq!(minutes, ["0 minutes", "0.5 minutes", "1 minute", "1.5 minutes"]);
    }
}
