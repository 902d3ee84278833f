//! The numbers as a Markdown page.

use std::fmt::Write;

use super::cells::{Bar, Cell, Quantiles, Study, upper_end};
use super::judge::Judged;

const INTRODUCTION: &str = "\
How often the gate takes a healthy version back, how soon it takes a worse one back, and whom that costs what, beside the rules that users of other tools run. Simulated with the real engine: it is told the same reports as in earnest, decides by its own rollout, and every rule sees the same traffic. [statistics.md](statistics.md) says how it decides, and [sim](../web/sim/src/lib.rs) how the traffic is drawn.

This page is written by a program. A scenario may be played alone by its name, and `--check` fails when a bar is missed that is not a known finding:

";

const RULES: &str = "
## The rules

- **Crossfade**: the engine with its defaults, alpha 0.5 % over the whole rollout, in one step of four hours. Failures are reported one by one with their client, everything else as counts, every 5 s.
- **GrowthBook**: a guardrail's one-sided sequential test at 0.05, tuned to 5,000 units, looked at every minute.
- **Kayenta**: Mann-Whitney at 98 % between minutes of v2 and of a part of v1 as large as v2, every half hour, all data so far; \"High\" scores 0, below the marginal 75.
- **Argo Rollouts**: success rate at least 99 % each minute, `failureLimit` 0 and 3. A minute without requests is 0 / 0 and fails; a query without metrics is an error, tried again every 10 s, and the fifth in a row aborts.
- **Flagger**: success rate at least 99 % each minute, 5 and 10 failed checks, which add up over the whole analysis; a minute without data is one.

All but ours were written for this from their documentation and source, as their users commonly run them, and see counts without clients. The thresholds of 1 % are the usual ones, and wrong by construction where more than 1 % of requests fail anyway: rules that do not compare cannot know that.
";

/// The whole page.
pub(super) fn text(study: &Study, judged: &[Judged]) -> String {
    let Study { runs, seed, cells } = study;
    let mut page = format!("# Operating characteristics\n\n{INTRODUCTION}");
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "```text\ncargo xtask operating-characteristics --runs {runs} --seed {seed}\n```\n"
    );
    page.push_str(
        "![False rollbacks and detection times of each rule](operating-characteristics.svg)\n\n",
    );
    bars(&mut page, judged);
    healthy(&mut page, cells);
    worse(&mut page, cells);
    harm(&mut page, cells);
    page.push_str(RULES);
    page
}

fn bars(page: &mut String, judged: &[Judged]) {
    let missed: Vec<&Judged> = judged.iter().filter(|judged| !judged.holds).collect();
    page.push_str(
        "## Bars\n\n\
         A healthy v2 is rolled back at most once in a hundred, by the upper end of the 95 % interval, in every scenario. Of all rules that keep a healthy v2 in 95 % of the same traffic, ours is first for outages, absolute jumps, ×5 and whatever begins late, and takes at most 1.5 times as long as the fastest for ×1.5 and ×2.\n\n",
    );
    let _ = writeln!(page, "{} of {} bars hold.", judged.len() - missed.len(), judged.len());
    if !missed.is_empty() {
        page.push_str("\nMissed:\n\n");
    }
    for judged in missed {
        let why = judged.known().map_or(String::new(), |why| format!(" Known: {why}."));
        let _ = writeln!(page, "- `{}`: {}.{why}", judged.scenario, judged.says);
    }
}

fn head(page: &mut String, first: &str, cells: &[Cell], last: &str) {
    let rules: Vec<&str> = cells
        .first()
        .map(|cell| cell.rules.iter().map(|did| did.rule.as_str()).collect())
        .unwrap_or_default();
    let _ = writeln!(page, "| | {first} | {} |{last}", rules.join(" | "));
    let columns = rules.len() + 2 + usize::from(!last.is_empty());
    let _ = writeln!(page, "|{}", "---|".repeat(columns));
}

fn healthy(page: &mut String, cells: &[Cell]) {
    page.push_str(
        "\n## A healthy v2\n\n\
         Rolled back within four hours, and in brackets the upper end of the 95 % interval. The last column: runs in which the gate had proven neither at the end, and held the step.\n\n\
         Where nothing else is said, 100 requests a second come from 30,000 clients, a tenth of them on v2, and 0.1 % fail. Ten pods serve both versions; each blips once in two hours, for 5 s in the mean, and half of its requests fail then. Clients who retry make five failures of one, in the mean.\n\n",
    );
    head(page, "v2 is no worse", cells, " inconclusive |");
    for cell in cells.iter().filter(|cell| cell.is_healthy()) {
        let _ = write!(page, "| `{}` | {} |", cell.scenario, cell.says);
        for did in &cell.rules {
            let rate = percent(f64::from(did.rolled_back) / f64::from(cell.runs.max(1)));
            let upper = percent(upper_end(did.rolled_back, cell.runs));
            let _ = write!(page, " {rate} [{upper}] |");
        }
        let inconclusive = cell.rules.first().and_then(|ours| ours.inconclusive).unwrap_or(0);
        let part = percent(f64::from(inconclusive) / f64::from(cell.runs.max(1)));
        let _ = writeln!(page, " {part} |");
    }
}

fn worse(page: &mut String, cells: &[Cell]) {
    page.push_str(
        "\n## A worse v2: how soon\n\n\
         Time from the regression to the rollback, median and 95th percentile; `–` is not within four hours. In parentheses: a rule that rolls back more than 5 % of healthy versions in the same traffic. Finding something is no merit then. `early`: most runs were over before the regression began.\n\n",
    );
    head(page, "v2 is worse", cells, " inconclusive |");
    for cell in cells.iter().filter(|cell| !cell.is_healthy()) {
        let _ = write!(page, "| `{}` | {} |", cell.scenario, cell.says);
        for (rule, did) in cell.rules.iter().enumerate() {
            let times = if did.too_early * 2 > cell.runs {
                "early".to_owned()
            } else {
                pair(did.seconds, duration)
            };
            let honest = cell.is_honest(cells, rule);
            let _ = if honest { write!(page, " {times} |") } else { write!(page, " ({times}) |") };
        }
        let inconclusive = cell.rules.first().and_then(|ours| ours.inconclusive).unwrap_or(0);
        let part = percent(f64::from(inconclusive) / f64::from(cell.runs.max(1)));
        let _ = writeln!(page, " {part} |");
    }
}

fn harm(page: &mut String, cells: &[Cell]) {
    page.push_str(
        "\n## A worse v2: whom it costs what\n\n\
         Requests that failed because of v2 until it was taken back, or until four hours were over, and the clients who met one; medians. Parentheses and `early` as above.\n\n",
    );
    head(page, "v2 is worse", cells, "");
    for cell in cells.iter().filter(|cell| cell.bar != Bar::Healthy) {
        let _ = write!(page, "| `{}` | {} |", cell.scenario, cell.says);
        for (rule, did) in cell.rules.iter().enumerate() {
            let harmed = if did.too_early * 2 > cell.runs {
                "early".to_owned()
            } else {
                let requests = did.harmed_requests.median.map_or("–".to_owned(), thousands);
                let clients = did.harmed_clients.median.map_or("–".to_owned(), thousands);
                format!("{requests} / {clients}")
            };
            let _ = if cell.is_honest(cells, rule) {
                write!(page, " {harmed} |")
            } else {
                write!(page, " ({harmed}) |")
            };
        }
        page.push('\n');
    }
}

fn pair(quantiles: Quantiles, show: fn(u64) -> String) -> String {
    match (quantiles.median, quantiles.p95) {
        (None, _) => "–".to_owned(),
        (Some(median), p95) => {
            format!("{} / {}", show(median), p95.map_or("–".to_owned(), show))
        }
    }
}

/// Seconds as people say them, without losing one.
fn duration(seconds: u64) -> String {
    format!("{} s", thousands(seconds))
}

fn thousands(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1_000), number % 1_000),
    }
}

fn percent(rate: f64) -> String {
    match 100.0 * rate {
        0.0 => "0 %".to_owned(),
        percent if percent < 10.0 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.0038, 0.5, 1.0].map(percent), ["0 %", "0.4 %", "50 %", "100 %"]);
        let late = Quantiles { median: Some(14_000), p95: None };
        assert_eq!(pair(late, duration), "14,000 s / –");
    }
}
