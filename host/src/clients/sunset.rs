//! Whether the old version can go, in words.

use crossfade_protocol::words::plural;

use super::table::{self, about, minute};
use super::{Depend, Forecast, Sunset};
use crate::client::page::{Line, Page, Tone, percent};
use crate::output::counted;

/// Where values begin behind their names.
const VALUES: usize = 14;

impl Sunset {
    /// All of it, for people, with `shown` candidates at most; `more` says how to see others.
    pub(crate) fn text(
        &self,
        columns: Option<u16>,
        color: bool,
        now_ms: u64,
        (shown, more): (usize, &str),
    ) -> String {
        let mut out = self.page(columns).text(color);
        let shown = self.candidates.len().min(shown);
        if shown > 0 {
            out += "\n";
            table::rows(&mut out, &self.candidates[..shown], columns, color, now_ms);
            if shown < self.candidates.len() {
                out += &format!("The likeliest {shown}; {more}\n");
            }
        }
        out
    }

    fn page(&self, columns: Option<u16>) -> Page {
        let mut page = Page::new(columns);
        page.push(if self.ready {
            Line::default().with(Tone::Good, "✔ The old version can be switched off.")
        } else {
            Line::default().with(Tone::Wait, "✘ The old version cannot be switched off yet.")
        });
        if !self.statement.is_empty() {
            page.paragraph(Line::default().to(2), Tone::Plain, &self.statement);
        }
        let head = |name: &str| Line::default().and("  ").with(Tone::Faint, name).to(VALUES);
        if let Some(depend) = self.depend.filter(|_| !self.statement.is_empty()) {
            page.paragraph(head("depend"), Tone::Plain, &self.depend_text(depend));
        }
        if let Some(at) = self.as_of_ms {
            page.paragraph(head("as of"), Tone::Plain, &format!("{} UTC", minute(at)));
        }
        if let Some(at) = self.last_expected_ms {
            page.paragraph(head("the last"), Tone::Plain, &format!("expected {} UTC", minute(at)));
        }
        if let Some(Forecast { low_ms, ready_ms, high_ms }) = self.forecast {
            let day = |ms: u64| minute(ms)[..10].to_owned();
            let high = high_ms.map_or("an unknown day".to_owned(), day);
            let text = format!("ready about {}, between {} and {high}", day(ready_ms), day(low_ms));
            page.paragraph(head("forecast"), Tone::Plain, &text);
        }
        for check in &self.checks {
            let (mark, tone) = if check.ok { ("✔", Tone::Good) } else { ("✘", Tone::Bad) };
            let head = Line::default().and("  ").with(tone, format!("{mark} {}", check.check));
            let head = if head.width() < VALUES { head.to(VALUES) } else { head.and("  ") };
            page.paragraph(head, Tone::Plain, &check.detail);
        }
        page
    }

    fn depend_text(&self, depend: Depend) -> String {
        let Depend { at_most, expected, exact } = depend;
        let horizon = match self.horizon_ms {
            0 => String::new(),
            horizon => format!(" within {}", about(horizon)),
        };
        let how = if exact { "every client counted" } else { "estimated from a sample" };
        format!(
            "at most {} call{} again{horizon}, at {} confidence; {expected:.1} expected; {how}",
            counted(at_most, "client"),
            plural(at_most != 1),
            percent(self.confidence * 100.0),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_statement_has_its_numbers_its_checks_and_its_candidates() {
        let candidate = |place: usize| {
            json!({
                "client": format!("c{place}"), "identity": "key", "version": "v1", "requests": 3,
                "last_seen_ms": 1_431_857_103_000_u64, "state": "active", "again": 0.9,
            })
        };
        let sunset: Sunset = serde_json::from_value(json!({
            "ready": false, "statement": "Not yet, because two clients call.",
            "confidence": 0.95, "horizon_ms": 2_592_000_000_u64,
            "depend": { "at_most": 4, "expected": 2.5, "exact": true },
            "last_expected_ms": 1_431_943_503_000_u64,
            "forecast": { "low_ms": 1_431_943_503_000_u64, "ready_ms": 1_432_943_503_000_u64 },
            "checks": [{ "check": "share", "ok": true, "detail": "100 %" },
                       { "check": "a_long_check_name", "ok": false, "detail": "no" }],
            "candidates": (0..12).map(candidate).collect::<Vec<_>>(),
        }))
        .unwrap();
        let text = sunset.text(Some(100), false, 1_431_900_000_000, (10, "more: --all"));
        for part in [
            "✘ The old version cannot be switched off yet.\n",
            "  Not yet, because two clients call.\n",
            "  depend      at most 4 clients call again within 30 d, at 95 % confidence; 2.5 expected;",
            "every\n              client counted\n",
            "  the last    expected 2015-05-18 10:05 UTC\n",
            "  forecast    ready about 2015-05-29, between 2015-05-18 and an unknown day\n",
            "  ✔ share     100 %\n",
            "  ✘ a_long_check_name  no\n",
            " c9 ",
            "The likeliest 10; more: --all\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains(" c10 "), "{text}");
    }

    #[test]
    fn one_client_calls_and_two_call() {
        let says = |at_most: u64| {
            let sunset: Sunset = serde_json::from_value(json!({
                "ready": false, "statement": "Not yet.", "confidence": 0.95,
                "horizon_ms": 86_400_000, "checks": [],
                "depend": { "at_most": at_most, "expected": 0.5, "exact": true },
            }))
            .unwrap();
            sunset.text(None, false, 0, (0, ""))
        };
        assert!(says(1).contains("at most 1 client calls again within 1 d"), "{}", says(1));
        assert!(says(2).contains("at most 2 clients call again within 1 d"), "{}", says(2));
    }

    #[test]
    fn what_an_older_engine_says_is_enough() {
        let sunset: Sunset = serde_json::from_value(json!({
            "ready": true, "checks": [{ "check": "share", "ok": true, "detail": "100 %" }],
        }))
        .unwrap();
        assert_eq!(
            sunset.text(Some(80), false, 0, (10, "")),
            "✔ The old version can be switched off.\n  ✔ share     100 %\n"
        );
    }
}
