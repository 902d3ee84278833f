//! A list of clients as a table that keeps to the terminal.

use comfy_table::Table;

use super::{ClientView, Listed, state_name};
use crate::client::page::percent;
use crate::replay::{grouped, text, time};
use crate::tables::{self, table};
use crate::units;

/// Names narrower than this tell nobody apart.
const CLIENT_CHARS_MIN: usize = 12;

/// Where nothing says how wide a page is.
const WIDTH: u16 = 120;

/// How more of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More<'a> {
    /// With what the text says, as long as `limit` keeps some back.
    By { limit: u64, how: &'a str },
    /// All that there is was asked for.
    Nothing,
}

impl Listed {
    /// Writes it, and how many there are in all. `now_ms` tells what is overdue.
    pub(crate) fn text(
        &self,
        more: More<'_>,
        columns: Option<u16>,
        color: bool,
        now_ms: u64,
    ) -> String {
        let mut out = String::new();
        let (listed, total) = (self.clients.len() as u64, self.estimate().text());
        if listed > 0 {
            rows(&mut out, &self.clients, columns, color, now_ms);
        }
        // Of a sample all may be listed although there are more.
        let ends = match more {
            More::By { limit, how } if listed >= limit && listed < self.total => {
                format!(": {how} lists more")
            }
            _ => String::new(),
        };
        let sample = if self.exact { "" } else { ", of whom not all are kept" };
        let head = match listed {
            0 => String::new(),
            _ if listed < self.total => format!("{} of ", grouped(listed)),
            _ => String::new(),
        };
        out += &format!("{head}{total}{sample}{ends}\n");
        out
    }
}

/// Writes the table alone.
pub(crate) fn rows(
    out: &mut String,
    clients: &[ClientView],
    columns: Option<u16>,
    color: bool,
    now_ms: u64,
) {
    let width = usize::from(columns.unwrap_or(WIDTH));
    let knows = clients.iter().any(|client| client.state.is_some());
    // What matters least is left out first.
    let kinds: &[Kind] =
        if knows { &[Kind::Full, Kind::Narrow, Kind::Least] } else { &[Kind::Bare] };
    for kind in kinds {
        let without = kind.table(clients, 0, now_ms);
        let taken = without.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        // What the other columns leave is the client's, so that no line breaks.
        let room = (width + "Client".len()).saturating_sub(taken + 1);
        if room >= CLIENT_CHARS_MIN || Some(kind) == kinds.last() {
            let table = kind.table(clients, room.max(10) - 1, now_ms);
            let mut text = String::new();
            tables::write(&mut text, &table);
            out.push_str(&if color && knows { coloured(&text, clients) } else { text });
            return;
        }
    }
}

/// Which columns there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of a node's census.
    Bare,
    Full,
    Narrow,
    Least,
}

impl Kind {
    /// With names of at most so many characters; 0: without them.
    fn table(self, clients: &[ClientView], room: usize, now_ms: u64) -> Table {
        let name = |client: &ClientView| match room {
            0 => String::new(),
            _ if self == Kind::Bare => shown(&client.client, room),
            _ => named(client, room),
        };
        let rows = clients.iter();
        match self {
            Kind::Bare => table(
                ["Client", "Known by", "Version", "Last seen (UTC)", "Requests"],
                rows.map(|client| {
                    [
                        name(client),
                        shown(&client.identity, 20),
                        shown(&client.version, 30),
                        time::shown(client.last_seen_ms),
                        grouped(client.requests),
                    ]
                }),
            ),
            Kind::Full => table(
                [
                    "Client",
                    "Software",
                    "On",
                    "Old calls",
                    "New calls",
                    "Last seen (UTC)",
                    "Every",
                    "Expected",
                    "Again",
                    "State",
                ],
                rows.map(|client| {
                    [
                        name(client),
                        software(client),
                        shown(&client.version, 12),
                        old(client),
                        client.new.map_or(String::new(), |new| grouped(new.requests)),
                        minute(client.last_seen_ms),
                        every(client),
                        expected(client, now_ms),
                        client.again.map_or(String::new(), again),
                        state(client),
                    ]
                }),
            ),
            Kind::Narrow => table(
                [
                    "Client",
                    "Software",
                    "Old calls",
                    "Last seen (UTC)",
                    "Every",
                    "Expected",
                    "State",
                ],
                rows.map(|client| {
                    [
                        name(client),
                        software(client),
                        old(client),
                        minute(client.last_seen_ms),
                        every(client),
                        expected(client, now_ms),
                        state(client),
                    ]
                }),
            ),
            Kind::Least => table(
                ["Client", "Old calls", "Last seen (UTC)", "Expected", "State"],
                rows.map(|client| {
                    [
                        name(client),
                        old(client),
                        minute(client.last_seen_ms),
                        expected(client, now_ms),
                        state(client),
                    ]
                }),
            ),
        }
    }
}

fn shown(value: &str, chars_max: usize) -> String {
    text::shown(value.as_bytes(), chars_max)
}

/// Its key, and where that is from when it is not the routing key: another client may have
/// the same.
fn named(client: &ClientView, chars_max: usize) -> String {
    match client.identity.as_str() {
        "key" => shown(&client.client, chars_max),
        identity => {
            let from = format!(" ({})", shown(identity, 20));
            let room = chars_max.saturating_sub(from.chars().count()).max(1);
            shown(&client.client, room) + &from
        }
    }
}

fn software(client: &ClientView) -> String {
    client.software.as_deref().map_or(String::new(), |software| shown(software, 20))
}

fn old(client: &ClientView) -> String {
    client.old.map_or(String::new(), |old| grouped(old.requests))
}

fn every(client: &ClientView) -> String {
    client.interval_ms.map_or(String::new(), about)
}

/// A duration in one unit: an interval is no more exact than that.
pub(super) fn about(ms: u64) -> String {
    let text = units::span(ms);
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// A moment to the minute.
pub(super) fn minute(ms: u64) -> String {
    let mut text = time::shown(ms);
    text.truncate("2015-05-17 10:05".len());
    text
}

fn expected(client: &ClientView, now_ms: u64) -> String {
    match client.expected_ms {
        None => String::new(),
        Some(at) if at < now_ms => format!("{} ago", about(now_ms - at)),
        Some(at) => format!("in {}", about(at - now_ms)),
    }
}

/// A chance; one that is not nothing is never shown as nothing.
pub(super) fn again(chance: f64) -> String {
    match chance * 100.0 {
        p if p > 0.0 && p < 0.1 => "< 0.1 %".to_owned(),
        p if p < 100.0 && p > 99.9 => "> 99.9 %".to_owned(),
        p if p < 10.0 => percent((p * 10.0).round() / 10.0),
        p => percent(p.round()),
    }
}

fn state(client: &ClientView) -> String {
    let state = client.state.as_deref().map(state_name).unwrap_or_default();
    match client.says.as_deref() {
        Some("ready") => format!("{state}, ready"),
        _ => shown(&state, 30),
    }
}

/// The state, which ends each row, in its colour. Colours only repeat what the words say.
fn coloured(text: &str, clients: &[ClientView]) -> String {
    const HEADER_LINES: usize = 2;
    let mut out = String::with_capacity(text.len() * 2);
    for (place, line) in text.lines().enumerate() {
        let client = place.checked_sub(HEADER_LINES).and_then(|place| clients.get(place));
        let code = match client.and_then(|client| client.state.as_deref()) {
            Some("active") => "33",
            Some("blocked" | "pinned_back") => "1;31",
            Some("gone") => "2",
            _ => "",
        };
        let word = client.map(state).unwrap_or_default();
        match line.strip_suffix(word.as_str()) {
            Some(before) if !code.is_empty() && !word.is_empty() => {
                out += &format!("{before}\x1b[{code}m{word}\x1b[0m");
            }
            _ => out += line,
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bare, known};
    use super::*;

    const NOW: u64 = 1_431_900_000_000;
    const MORE: More<'static> = More::By { limit: 2, how: "--limit or --all" };

    fn listed(clients: Vec<ClientView>, total: u64) -> Listed {
        Listed { total, exact: true, low: None, high: None, clients }
    }

    #[test]
    fn the_table_keeps_to_the_terminal_and_says_what_is_left_out() {
        let long = "x".repeat(300);
        for width in [70, 80, 100, 120, 160] {
            for make in [bare, known] {
                let text = listed(vec![make("ann"), make(&long)], 1_753).text(
                    MORE,
                    Some(width),
                    false,
                    NOW,
                );
                let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
                assert!(widest <= usize::from(width), "{widest} > {width}\n{text}");
                assert!(
                    text.ends_with("2 of 1,753 clients: --limit or --all lists more\n"),
                    "{text}"
                );
                assert!(text.contains(" ann "), "{text}");
            }
        }
        assert_eq!(listed(vec![], 0).text(MORE, None, false, NOW), "0 clients\n");
    }

    #[test]
    fn of_a_sample_the_footer_neither_promises_more_nor_says_none() {
        let end = |clients: usize, total: u64, high: u64, more| {
            let sample = Listed {
                total,
                exact: false,
                low: Some(clients as u64),
                high: Some(high),
                clients: vec![bare("a"); clients],
            };
            let text = sample.text(more, Some(160), false, NOW);
            text.lines().last().unwrap().to_owned()
        };
        let about = "about 32 clients (2 to 90, 95 % confidence), of whom not all are kept";
        assert_eq!(end(2, 32, 90, MORE), format!("2 of {about}: --limit or --all lists more"));
        assert_eq!(end(2, 32, 90, More::Nothing), format!("2 of {about}"));
        let fits = More::By { limit: 100, how: "--limit or --all" };
        assert_eq!(end(2, 32, 90, fits), format!("2 of {about}"));
        assert_eq!(
            end(0, 0, 98, fits),
            "at most 98 clients (95 % confidence), of whom not all are kept"
        );
    }

    #[test]
    fn clients_of_one_name_are_told_apart_by_where_it_comes_from() {
        let mut other = known("ann");
        other.identity = "jwt".into();
        let mut long = known(&"x".repeat(300));
        long.identity = "address".into();
        for width in [70, 80, 100, 120, 160] {
            let all = vec![known("ann"), other.clone(), long.clone()];
            let text = listed(all, 3).text(MORE, Some(width), false, NOW);
            let names: Vec<&str> =
                text.lines().skip(2).filter_map(|line| line.split("  ").next()).collect();
            assert_eq!(
                names[..2].iter().map(|name| name.trim()).collect::<Vec<_>>(),
                ["ann", "ann (jwt)"]
            );
            assert!(names[2].trim().ends_with(" (address)"), "{text}");
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(width), "{widest} > {width}\n{text}");
        }
    }

    #[test]
    fn a_row_says_when_the_next_call_is_due_and_how_likely_it_is() {
        let row = |client: ClientView| {
            let text = listed(vec![client], 1).text(MORE, Some(160), false, NOW);
            text.lines()
                .nth(2)
                .unwrap()
                .split("  ")
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let client = known("ann");
        assert_eq!(
            row(client.clone()),
            [
                "ann",
                "billing/2.1",
                "v1",
                "1,200",
                "34",
                "2015-05-17 10:05",
                "1 d",
                "in 12 h",
                "25 %",
                "silent"
            ]
        );
        let overdue = ClientView {
            expected_ms: Some(NOW - 7_200_000),
            again: Some(0.0001),
            state: Some("pinned_back".into()),
            ..client
        };
        let row = row(overdue);
        assert_eq!(row[7..], ["2 h ago", "< 0.1 %", "pinned back"]);
    }

    #[test]
    fn ids_and_software_are_made_fit_for_a_terminal_also_in_colour() {
        let mut client = known("\u{1b}[31m");
        client.software = Some("\u{1b}]0;x\u{7}".into());
        client.state = Some("blocked".into());
        let text = listed(vec![client.clone()], 1).text(MORE, Some(160), false, NOW);
        assert!(text.contains(" \\x1b[31m ") && !text.contains('\u{1b}'), "{text}");
        let text = listed(vec![client], 1).text(MORE, Some(160), true, NOW);
        assert_eq!(text.matches('\u{1b}').count(), 2, "{text:?}");
        assert!(text.contains("\u{1b}[1;31mblocked\u{1b}[0m\n"), "{text:?}");
    }
}
