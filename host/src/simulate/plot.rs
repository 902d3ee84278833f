//! How soon a regression is found, as a picture.

use std::path::Path;

use plotters::prelude::{ChartBuilder, Color as _, IntoDrawingArea as _, LineSeries, RGBColor};
use plotters::prelude::{SVGBackend, WHITE};

use super::Expected;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlotError {
    /// No run found anything.
    #[error("no run took v2 back: there is nothing to draw")]
    Nothing,
    /// It could not be drawn or written.
    #[error("cannot draw {path}: {why}")]
    Failed {
        /// The file.
        path: String,
        /// What the library said.
        why: String,
    },
}

const SIZE: (u32, u32) = (800, 420);
const INK: RGBColor = RGBColor(0x12, 0x17, 0x1e);
const LINE: RGBColor = RGBColor(0xc2, 0x57, 0x0c);

/// Draws which part of the runs with a worse v2 had taken it back after how long.
///
/// # Errors
/// There is nothing to draw, or the file cannot be written.
pub(crate) fn draw(expected: &Expected, path: &Path) -> Result<(), PlotError> {
    let mut minutes: Vec<f64> =
        expected.found_after_ms().iter().map(|ms| *ms as f64 / 60_000.0).collect();
    minutes.sort_by(f64::total_cmp);
    let Some(last) = minutes.last().copied() else { return Err(PlotError::Nothing) };
    let all = f64::from(expected.runs);
    let mut points = vec![(0.0, 0.0)];
    for (place, after) in minutes.iter().enumerate() {
        // A step up at each find.
        points.push((*after, place as f64 / all * 100.0));
        points.push((*after, (place + 1) as f64 / all * 100.0));
    }
    let picture = || -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let caption = format!("How soon v2 is taken back: {}", expected.regression);
        let mut chart = ChartBuilder::on(&area)
            .margin(18)
            .caption(caption, ("sans-serif", 18))
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..(last * 1.05).max(0.1), 0.0..100.0)?;
        chart
            .configure_mesh()
            .x_desc("minutes since it began")
            .y_desc("runs, %")
            .axis_style(INK.mix(0.4))
            .light_line_style(WHITE)
            .label_style(("sans-serif", 13))
            .draw()?;
        chart.draw_series(LineSeries::new(points, LINE.stroke_width(2)))?;
        area.present()?;
        Ok(())
    };
    picture().map_err(|error| PlotError::Failed {
        path: path.display().to_string(),
        why: error.to_string(),
    })
}
