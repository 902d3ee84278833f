//! One client and its history.

use super::table::{about, again, minute};
use super::{ClientOn, ClientView, state_name};
use crate::client::page::{Line, Page, Tone};
use crate::output::counted;
use crate::replay::grouped;

/// Where values begin behind their names.
const VALUES: usize = 13;

impl ClientView {
    /// Everything that is known of it. `audit` is how the audit log names it.
    pub(crate) fn page(&self, audit: Option<&str>, columns: Option<u16>, now_ms: u64) -> Page {
        let mut page = Page::new(columns);
        let line = Line::default().with(Tone::Strong, &self.client);
        page.push(line.with(Tone::Faint, format!("  known by {}", self.identity)));
        let head = |name: &str| Line::default().with(Tone::Faint, name).to(VALUES);
        if let Some(state) = &self.state {
            let tone = match state.as_str() {
                "active" => Tone::Wait,
                "blocked" | "pinned_back" => Tone::Bad,
                _ => Tone::Plain,
            };
            let says = match self.says.as_deref() {
                Some(says) => format!("; it says: {says}"),
                None => String::new(),
            };
            page.paragraph(head("State"), tone, &format!("{}{says}", state_name(state)));
        }
        if let Some(because) = self.because.as_deref().filter(|because| !because.is_empty()) {
            page.paragraph(head("Because"), Tone::Plain, because);
        }
        if let Some(software) = &self.software {
            page.paragraph(head("Software"), Tone::Plain, software);
        }
        let last = format!("by {}, {} UTC", self.version, minute(self.last_seen_ms));
        page.paragraph(head("Served last"), Tone::Plain, &last);
        for (name, on) in [("Old version", self.old), ("New version", self.new)] {
            if let Some(on) = on {
                page.paragraph(head(name), Tone::Plain, &calls(on));
            }
        }
        if self.refused > 0 {
            let text = format!("{}, by a brownout or the sunset", counted(self.refused, "call"));
            page.paragraph(head("Refused"), Tone::Plain, &text);
        }
        if let Some(interval) = self.interval_ms {
            let regular = self.regularity.map_or(String::new(), |regularity| {
                format!(", {:.0} % regular", regularity * 100.0)
            });
            page.paragraph(
                head("Calls every"),
                Tone::Plain,
                &format!("{}{regular}", about(interval)),
            );
        }
        if let Some(at) = self.expected_ms {
            let text = match at < now_ms {
                true => format!("{} UTC, which is {} ago", minute(at), about(now_ms - at)),
                false => format!("{} UTC, in {}", minute(at), about(at - now_ms)),
            };
            page.paragraph(head("Expected"), Tone::Plain, &text);
        }
        if let Some(chance) = self.again {
            let text = format!("{} within the horizon", again(chance));
            page.paragraph(head("Old again"), Tone::Plain, &text);
        }
        if let Some(audit) = audit {
            page.paragraph(head("In the audit"), Tone::Faint, audit);
        }
        page
    }
}

fn calls(on: ClientOn) -> String {
    let ClientOn { requests, failures, first_seen_ms, last_seen_ms } = on;
    if requests == 0 {
        return "never".to_owned();
    }
    let failed = match failures {
        0 => String::new(),
        _ => format!(", {} of them failed", grouped(failures)),
    };
    let between = match (first_seen_ms, last_seen_ms) {
        (Some(first), Some(last)) => format!(", {} to {} UTC", minute(first), minute(last)),
        _ => String::new(),
    };
    format!("{}{failed}{between}", counted(requests, "call"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::known;

    #[test]
    fn a_history_is_told_line_by_line_and_safely() {
        let mut client = known("\u{1b}ann");
        client.because = Some("the partner said so".into());
        let text = client.page(Some("h:1"), Some(80), 1_431_900_000_000).text(false);
        assert_eq!(
            text,
            "\\x1bann  known by key\n\
             State        silent\n\
             Because      the partner said so\n\
             Software     billing/2.1\n\
             Served last  by v1, 2015-05-17 10:05 UTC\n\
             Old version  1,200 calls, 3 of them failed, 2015-05-07 12:00 to 2015-05-17 10:05\n\
             \x20            UTC\n\
             New version  34 calls\n\
             Calls every  1 d, 90 % regular\n\
             Expected     2015-05-18 10:05 UTC, in 12 h\n\
             Old again    25 % within the horizon\n\
             In the audit h:1\n"
        );
    }
}
