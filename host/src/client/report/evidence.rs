//! What was counted in a step, and how far it is from a verdict.

use crate::client::page::{Line, Page, Tone, percent};
use crate::client::status::{Evidence, Failures};
use crate::replay::grouped;

/// Cells of a bar.
const CELLS: usize = 10;

impl Evidence {
    /// Writes counts and gauges.
    pub(super) fn write(&self, page: &mut Page, old: &str, new: &str) {
        if let Some(failures) = &self.failures {
            failures.write(page, old, new);
        }
        let mut gauges: Vec<(String, f64, f64, Tone)> = Vec::new();
        let mut gauge = |what: String, has: f64, takes: f64, tone: Tone| {
            gauges.push((what, has, takes, tone));
        };
        if let Some(test) = &self.failures {
            gauge(format!("{new} fails more"), test.log_e_worse, test.threshold_worse, Tone::Bad);
            gauge(format!("{new} fails no more"), test.log_e_ok, test.threshold_ok, Tone::Good);
        }
        if let Some(test) = &self.latency {
            gauge(format!("{new} is slower"), test.log_e_slower, test.threshold_slower, Tone::Bad);
            let takes = test.threshold_not_slower;
            gauge(format!("{new} is no slower"), test.log_e_not_slower, takes, Tone::Good);
        }
        for (test, what) in [(&self.slo, "failures"), (&self.latency_slo, "slow requests")] {
            let Some(test) = test else { continue };
            let over = format!("{what} over their bound");
            gauge(over, test.log_e_bad, test.threshold_bad, Tone::Bad);
            let within = format!("{what} within their bound");
            gauge(within, test.log_e_ok, test.threshold_ok, Tone::Good);
        }
        if let Some(test) = &self.sample_ratio {
            // Of no interest while it is as it should be.
            if test.log_bf >= test.threshold / 2.0 {
                let what = "the share is not the one asked for".to_owned();
                gauge(what, test.log_bf, test.threshold, Tone::Bad);
            }
        }
        if gauges.is_empty() {
            return;
        }
        let width = gauges.iter().map(|(what, ..)| what.chars().count()).max().unwrap_or(0);
        let width = width.max("Evidence that…".chars().count()) + 2;
        if self.failures.is_some() {
            page.gap();
        }
        let head = Line::default().and("  ").with(Tone::Faint, "Evidence that…").to(width + 2);
        page.push(head.with(Tone::Faint, "     is  needs"));
        for (what, has, takes, tone) in gauges {
            let line = Line::default().and("  ").and(what).to(width + 2);
            let line = line.and(format!("{:7.2}{takes:7.2}  ", has.max(0.0)));
            let full = if takes > 0.0 { (has / takes).clamp(0.0, 1.0) } else { 0.0 };
            // Full only when it is proven.
            let cells = (full * CELLS as f64) as usize;
            let line =
                line.with(tone, "█".repeat(cells)).with(Tone::Faint, "░".repeat(CELLS - cells));
            page.push(if has >= takes { line.with(tone, "  proven") } else { line });
        }
    }
}

impl Failures {
    fn write(&self, page: &mut Page, old: &str, new: &str) {
        let step = &self.step;
        let rows = [
            (old, step.control_requests, step.control_failures),
            (new, step.canary_requests, step.canary_failures),
        ];
        let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        let width = width.max("In this step".len());
        let head = Line::default().and("  ").with(Tone::Faint, "In this step").to(width + 2);
        let titles = format!("{:>14}{:>12}{:>10}", "Requests", "Failures", "Ratio");
        page.push(head.with(Tone::Faint, titles));
        for (name, requests, failures) in rows {
            let ratio = if requests == 0 {
                "–".to_owned()
            } else {
                percent(failures as f64 * 100.0 / requests as f64)
            };
            let line = Line::default().and("  ").and(name).to(width + 2);
            let (requests, failures) = (grouped(requests), grouped(failures));
            page.push(line.and(format!("{requests:>14}{failures:>12}{ratio:>10}")));
        }
        let Some(ratio) = self.ratio else { return };
        let sure = percent((1.0 - self.interval_alpha) * 100.0);
        let low = times(self.ratio_interval.low.unwrap_or(0.0));
        let between = match self.ratio_interval.high {
            Some(high) => format!("{low} to {}", times(high)),
            None => format!("at least {low}"),
        };
        let ratio = times(ratio);
        let text =
            format!("Altogether {new} fails {ratio} times as often ({between}; {sure} sure)");
        page.paragraph(Line::default().and("  "), Tone::Plain, &text);
    }
}

/// A ratio, no more exact than it is: `0.53`, `17.9`, `87,291`.
fn times(ratio: f64) -> String {
    match ratio {
        small if small < 10.0 => format!("{small:.2}"),
        middling if middling < 100.0 => format!("{middling:.1}"),
        large if large < 1e15 => grouped(large.round() as u64),
        vast => format!("{vast:.0e}"),
    }
}
