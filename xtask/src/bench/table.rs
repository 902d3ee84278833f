//! The figures as a table.

/// What a figure may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// A peer: nothing is promised of it.
    None,
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

/// One figure beside its limit.
#[derive(Debug)]
pub(crate) struct Row {
    what: &'static str,
    value: f64,
    unit: String,
    limit: Limit,
}

impl Row {
    pub(crate) fn new(what: &'static str, value: f64, unit: &str, limit: Limit) -> Row {
        Row { what, value, unit: unit.to_owned(), limit }
    }

    /// Whether the figure keeps to its limit. One that could not be measured does not.
    pub(crate) fn holds(&self) -> bool {
        match self.limit {
            Limit::None => true,
            Limit::AtLeast(limit) => self.value >= limit,
            Limit::AtMost(limit) => self.value <= limit,
            Limit::Below(limit) => self.value < limit,
        }
    }

    fn line(&self) -> String {
        let (limit, verdict) = match self.limit {
            Limit::None => (String::new(), ""),
            Limit::AtLeast(limit) => (format!(">= {}", number(limit)), self.verdict()),
            Limit::AtMost(limit) => (format!("<= {}", number(limit)), self.verdict()),
            Limit::Below(limit) => (format!("< {}", number(limit)), self.verdict()),
        };
        let Row { what, unit, .. } = self;
        let value = number(self.value);
        format!("{what:<31}{value:>10} {unit:<26}{limit:>10}  {verdict}").trim_end().to_owned()
    }

    fn verdict(&self) -> &'static str {
        if self.holds() { "ok" } else { "MISSED" }
    }
}

/// Three digits or more: those of a ratio matter, those of a rate do not.
fn number(value: f64) -> String {
    match value {
        large if large >= 100.0 => format!("{large:.0}"),
        middle if middle >= 10.0 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

/// Prints the table, with how busy the machine was.
pub(crate) fn print(rows: &[Row], load_before: &str, load_after: &str) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{:<31}{:>10} {:<26}{:>10}", "figure", "value", "unit", "limit");
    rows.iter().for_each(|row| println!("{}", row.line()));
    println!("\nLoad of this machine's {cores} cores: {load_before} before, {load_after} after.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_or_missed_at_its_edge() {
        let holds = |value, limit| Row::new("x", value, "ns", limit).holds();
        assert!(holds(1.5, Limit::AtMost(1.5)) && !holds(1.51, Limit::AtMost(1.5)));
        assert!(holds(15.0, Limit::AtLeast(15.0)) && !holds(14.9, Limit::AtLeast(15.0)));
        assert!(!holds(30.0, Limit::Below(30.0)) && holds(29.9, Limit::Below(30.0)));
        assert!(!holds(f64::NAN, Limit::AtMost(1.0)) && holds(f64::NAN, Limit::None));
    }

    #[test]
    fn a_missed_limit_stands_out() {
        let line = Row::new("node", 700_000.0, "lines a CPU second", Limit::AtLeast(8e5)).line();
        assert!(line.ends_with(">= 800000  MISSED"), "{line}");
    }
}
