//! The numbers as an SVG picture, for light and dark pages.

use std::fmt::Write;

use super::cells::Cell;

/// Which rules are drawn, and with which mark: two variants of a rule would cover each
/// other.
const MARKS: [(&str, &str, &str); 5] = [
    ("Crossfade", "ours", "M-5.5,0a5.5,5.5 0 1,0 11,0a5.5,5.5 0 1,0 -11,0z"),
    ("GrowthBook", "second", "M0,-6 6,0 0,6 -6,0z"),
    ("Kayenta", "other", "M-4.5,-4.5h9v9h-9z"),
    ("Argo Rollouts, limit 3", "other", "M0,-6 5.5,4.5 -5.5,4.5z"),
    ("Flagger, threshold 5", "other", "M-5,-5 5,5M5,-5 -5,5"),
];

const STYLE: &str = "\
.page{fill:#fff}text{font:13px Inter,system-ui,sans-serif;fill:#1d2733}\
.title{font-size:16px;font-weight:600}.faint{fill:#5b6875}\
.line{stroke:#dde3e9}.bar{stroke:#5b6875;stroke-dasharray:4 3}\
path{stroke-width:1.8;stroke-linejoin:round}\
.ours{fill:#0b4a86;stroke:#0b4a86}.second{fill:#fff;stroke:#c2570c}.other{fill:none;stroke:#5b6875}\
.loud{opacity:.3}\
@media(prefers-color-scheme:dark){.page{fill:#10161d}text{fill:#e6ebf0}.faint{fill:#9aa7b4}\
.line{stroke:#2a333d}.bar{stroke:#9aa7b4}.ours{fill:#4a9be8;stroke:#4a9be8}\
.second{fill:#10161d;stroke:#ffc46b}.other{stroke:#9aa7b4}}";

const WIDTH: u32 = 1_000;
/// Where the axes begin and end.
const LEFT: f64 = 425.0;
const RIGHT: f64 = 965.0;
const ROW: f64 = 22.0;

/// One panel: rows of marks on one axis.
struct Panel<'a> {
    title: &'a str,
    subtitle: &'a str,
    /// Values that are labelled, and what is written there.
    ticks: &'a [(f64, &'a str)],
    /// A value that is a bar, if there is one.
    bar: Option<f64>,
    /// From a value to its place, 0 to 1.
    place: fn(f64) -> f64,
}

const FALSE: Panel<'static> = Panel {
    title: "A healthy v2 is rolled back",
    subtitle: "of all runs, within four hours; the dashed line is the bar of 1 %; marks at one place cover each other",
    ticks: &[
        (0.0, "0"),
        (0.01, "1 %"),
        (0.05, "5 %"),
        (0.2, "20 %"),
        (0.5, "50 %"),
        (1.0, "100 %"),
    ],
    bar: Some(0.01),
    place: |rate| rate.max(0.0).sqrt(),
};

const SOON: Panel<'static> = Panel {
    title: "A worse v2 is rolled back",
    subtitle: "median time from the regression; pale: more than 5 % of healthy versions, too",
    ticks: &[
        (10.0, "10 s"),
        (60.0, "1 min"),
        (600.0, "10 min"),
        (3_600.0, "1 h"),
        (14_400.0, "4 h"),
    ],
    bar: None,
    place: |seconds| libm::log(seconds.max(10.0) / 10.0) / libm::log(1_440.0),
};

/// The whole picture.
pub(super) fn svg(cells: &[Cell]) -> String {
    let healthy: Vec<&Cell> = cells.iter().filter(|cell| cell.is_healthy()).collect();
    let worse: Vec<&Cell> = cells.iter().filter(|cell| !cell.is_healthy()).collect();
    let mut body = String::new();
    legend(&mut body);
    let mut y = 50.0;
    y = panel(&mut body, &FALSE, &healthy, y, |cell, rule| {
        let rate = f64::from(cell.rules[rule].rolled_back) / f64::from(cell.runs.max(1));
        Some((rate, false))
    });
    y = panel(&mut body, &SOON, &worse, y + 34.0, |cell, rule| {
        let early = cell.rules[rule].too_early * 2 > cell.runs;
        let seconds = cell.rules[rule].seconds.median.filter(|_| !early)?;
        Some((seconds as f64, !cell.is_honest(cells, rule)))
    });
    let height = y + 12.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>How often each rule rolls a healthy version back, and how soon a worse one</title>\n\
         <style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n{body}</svg>\n"
    )
}

fn legend(body: &mut String) {
    let mut x = 20.0;
    for (rule, class, shape) in MARKS {
        // Writing to a string cannot fail.
        let _ = writeln!(
            body,
            "<path class=\"{class}\" transform=\"translate({x},24)\" d=\"{shape}\"/>\
             <text x=\"{}\" y=\"28.5\">{rule}</text>",
            x + 13.0
        );
        x += 44.0 + 7.4 * rule.len() as f64;
    }
}

/// Draws a panel from `top` on, and returns where it ends. `value` gives a rule's value in
/// a scenario, and whether the rule cries wolf there.
fn panel(
    body: &mut String,
    panel: &Panel<'_>,
    cells: &[&Cell],
    top: f64,
    value: impl Fn(&Cell, usize) -> Option<(f64, bool)>,
) -> f64 {
    let at = |value: f64| LEFT + (RIGHT - LEFT) * (panel.place)(value);
    let rows = top + 80.0;
    let bottom = rows + ROW * cells.len() as f64;
    let _ = writeln!(
        body,
        "<text class=\"title\" x=\"20\" y=\"{}\">{}</text>\
         <text class=\"faint\" x=\"20\" y=\"{}\">{}</text>",
        top + 18.0,
        panel.title,
        top + 38.0,
        panel.subtitle
    );
    for (tick, label) in panel.ticks {
        let (x, class) = (at(*tick), if panel.bar == Some(*tick) { "bar" } else { "line" });
        let _ = writeln!(
            body,
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\"/>\
             <text class=\"faint\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            rows - 8.0,
            rows - 13.0
        );
    }
    for (row, cell) in cells.iter().enumerate() {
        let y = rows + ROW * (row as f64 + 0.5);
        let _ = writeln!(body, "<text x=\"20\" y=\"{}\">{}</text>", y + 4.5, cell.says);
        // Ours last, so that nothing covers it.
        for (rule, class, shape) in MARKS.iter().rev() {
            let found = cell.rules.iter().position(|did| did.rule == *rule);
            let Some((value, loud)) = found.and_then(|rule| value(cell, rule)) else { continue };
            let loud = if loud { " loud" } else { "" };
            let _ = writeln!(
                body,
                "<path class=\"{class}{loud}\" transform=\"translate({:.1},{y})\" d=\"{shape}\"/>",
                at(value)
            );
        }
    }
    bottom
}
