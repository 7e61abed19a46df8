//! The curves of a replay: hit ratio over time, as SVG.

use std::{fs::File, path::Path};

use anyhow::{Context, anyhow};
use larder::lab::{Outcome, SERIES, Trace};
use plotters::prelude::{
    BLACK, ChartBuilder, Color, IntoDrawingArea, IntoFont, LineSeries, Palette, Palette99, PathElement,
    SVGBackend, SeriesLabelPosition, WHITE,
};

const SIZE: (u32, u32) = (960, 480);
/// Parts of the time over which a ratio is taken.
const WINDOW: usize = SERIES / 20;

/// Makes the file, so that a path that cannot be written is told before the replay, and not after it.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn create(file: &Path) -> anyhow::Result<()> {
    File::create(file).map(drop).with_context(|| format!("{}: cannot be written", file.display()))
}

/// Writes the curves to a file.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(file: &Path, trace: &Trace, outcomes: &[Outcome]) -> anyhow::Result<()> {
    draw(file, trace, outcomes).map_err(|error| anyhow!("{}: {error}", file.display()))
}

fn draw(file: &Path, trace: &Trace, outcomes: &[Outcome]) -> Result<(), Box<dyn std::error::Error>> {
    let hours = (trace.to_ms - trace.from_ms) as f64 / 3_600_000.0;
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Hit ratio over time", ("sans-serif", 20).into_font())
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..hours.max(0.001), 0.0..100.0)?;
    chart.configure_mesh().x_desc("hours").y_desc("%").draw()?;
    for (number, outcome) in outcomes.iter().enumerate() {
        let color = Palette99::pick(number).mix(1.0);
        let points = curve(outcome).into_iter().map(|(part, ratio)| (part * hours, ratio));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(outcome.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    area.present()?;
    Ok(())
}

/// Points: part of the time, from 0 to 1, and the hit ratio of a twentieth of it before, in percent.
fn curve(outcome: &Outcome) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for end in 1..=outcome.series.len() {
        let window = &outcome.series[end.saturating_sub(WINDOW)..end];
        let (lookups, hits) = window.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        if lookups > 0 {
            points.push((end as f64 / outcome.series.len() as f64, 100.0 * hits as f64 / lookups as f64));
        }
    }
    points
}
