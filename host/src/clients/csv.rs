//! A line for each client, for spreadsheets.

use super::{ClientOn, ClientView};
use crate::replay::time;

/// The columns. New ones are added at the end.
pub(crate) const HEADER: [&str; 22] = [
    "client",
    "identity",
    "version",
    "last_seen",
    "requests",
    "software",
    "old_requests",
    "old_failures",
    "old_first_seen",
    "old_last_seen",
    "new_requests",
    "new_failures",
    "new_first_seen",
    "new_last_seen",
    "interval_s",
    "regularity",
    "expected",
    "again",
    "state",
    "says",
    "because",
    "refused",
];

/// What stands in them; what is not known is empty.
pub(crate) fn csv_rows(clients: &[ClientView]) -> impl Iterator<Item = [String; 22]> + '_ {
    clients.iter().map(|client| {
        let [old, new] = [on(client.old), on(client.new)];
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let at = |at: Option<u64>| at.map(time::rfc3339).unwrap_or_default();
        let number = |number: Option<f64>| number.map(|n| n.to_string()).unwrap_or_default();
        let [old_requests, old_failures, old_first, old_last] = old;
        let [new_requests, new_failures, new_first, new_last] = new;
        [
            client.client.clone(),
            client.identity.clone(),
            client.version.clone(),
            time::rfc3339(client.last_seen_ms),
            client.requests.to_string(),
            text(&client.software),
            old_requests,
            old_failures,
            old_first,
            old_last,
            new_requests,
            new_failures,
            new_first,
            new_last,
            client.interval_ms.map(|ms| (ms / 1000).to_string()).unwrap_or_default(),
            number(client.regularity),
            at(client.expected_ms),
            number(client.again),
            text(&client.state),
            text(&client.says),
            text(&client.because),
            client.refused.to_string(),
        ]
    })
}

fn on(on: Option<ClientOn>) -> [String; 4] {
    let Some(on) = on else { return [const { String::new() }; 4] };
    let at = |at: Option<u64>| at.map(time::rfc3339).unwrap_or_default();
    [on.requests.to_string(), on.failures.to_string(), at(on.first_seen_ms), at(on.last_seen_ms)]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bare, known};
    use super::*;
    use crate::output::csv_text;

    #[test]
    fn a_spreadsheet_gets_quotes_where_they_must_be_no_formulas_and_no_controls() {
        let clients = [
            known("a,b"),
            bare("say \"x\""),
            bare("two\nlines"),
            bare("=HYPERLINK(\"http://x\")"),
            bare("+49 30"),
            bare("@a"),
            bare("\u{1b}[31m"),
        ];
        let csv = csv_text(HEADER, csv_rows(&clients)).unwrap();
        let rows: Vec<&str> = csv.lines().collect();
        assert_eq!(rows.len(), 8, "one line each: {csv}");
        assert_eq!(rows[0], HEADER.join(","));
        assert_eq!(
            rows[1],
            "\"a,b\",key,v1,2015-05-17T10:05:03Z,1234,billing/2.1,1200,3,2015-05-07T12:00:00Z,\
             2015-05-17T10:05:03Z,34,0,,,86400,0.9,2015-05-18T10:05:03Z,0.25,silent,,,0"
        );
        for (row, begins) in [
            (2, "\"say \"\"x\"\"\",key,v1,2015-05-17T10:05:03Z,1234,,,,"),
            (3, "two\\x0alines,key,"),
            (4, "\"'=HYPERLINK(\"\"http://x\"\")\",key,"),
            (5, "'+49 30,key,"),
            (6, "'@a,key,"),
            (7, "\\x1b[31m,key,"),
        ] {
            assert!(rows[row].starts_with(begins), "{}", rows[row]);
        }
    }
}
