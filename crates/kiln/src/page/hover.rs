//! Chart data for `templates/hover.js`, which shows the values under the pointer.
//!
//! `templates/chart.html` writes the JSON into the attribute `data-hover` of each chart. The script finds the x value
//! under the pointer, takes the nearest point of each line, marks it, and lists the values in a tooltip. Without
//! JavaScript the page shows everything but this tooltip.

use serde::Serialize;

use super::chart::{Chart, LineStyle, Series};
use super::scale::Scale;

/// What `hover.js` reads from the `data-hover` attribute of a chart. The field names are part of that script.
#[derive(Serialize)]
struct HoverData<'a> {
    /// Ends of the x axis.
    x: [f64; 2],
    /// Ends of the y axis.
    y: [f64; 2],
    /// Whether x and y are logarithmic.
    log: [bool; 2],
    /// Names of the units of x and y ([`Unit::name`](super::number_format::Unit::name)).
    units: [&'static str; 2],
    /// Whether x counts steps; the script then adds tokens and time.
    counts_steps: bool,
    series: Vec<HoverSeries<'a>>,
}

/// A line of the chart: its name, its color index and its points in order of x.
#[derive(Serialize)]
struct HoverSeries<'a> {
    name: &'a str,
    color: usize,
    points: Vec<(f64, f64)>,
}

/// Axes and solid lines of a chart as JSON. Faint and dashed lines, and points that cannot be drawn, are left out.
///
/// `x` and `y` are the scales of the chart. The points are those of the downsampled lines, with six significant
/// digits, so that a long run does not enlarge the page.
pub fn hover_json<'a>(
    chart: &Chart,
    lines: impl Iterator<Item = (&'a Series, &'a Vec<(f64, f64)>)>,
    (x, y): (&Scale, &Scale),
) -> String {
    let solid = lines.filter(|(series, _)| series.style == LineStyle::Line);
    let series = solid.map(|(series, points)| HoverSeries {
        name: &series.name,
        color: series.color,
        points: points
            .iter()
            .filter(|point| x.position(point.0).is_finite() && y.position(point.1).is_finite())
            .map(|(x, y)| (round_digits(*x), round_digits(*y)))
            .collect(),
    });
    let data = HoverData {
        x: [x.low, x.high],
        y: [y.low, y.high],
        log: [x.is_log, y.is_log],
        units: [chart.x.unit.name(), chart.y.unit.name()],
        counts_steps: chart.x.label == "step",
        series: series.collect(),
    };
    serde_json::to_string(&data).unwrap_or_default()
}

/// `value` rounded to six significant digits, to keep the page small.
fn round_digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hover_data_holds_the_drawn_points_of_solid_lines() {
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.234_567_8)];
        let lines = [LineStyle::Line, LineStyle::Faint, LineStyle::Dashed].map(|style| Series {
            name: "a\"b".into(),
            style,
            points: points.clone(),
            ..Series::default()
        });
        let scale = Scale { low: 0.0, high: 2.0, is_log: false };
        let json = hover_json(&Chart::default(), lines.iter().map(|s| (s, &s.points)), (&scale, &scale));
        let data: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let expected = serde_json::json!([{ "name": "a\"b", "color": 0, "points": [[0.0, 1.0], [2.0, 1.23457]] }]);
        assert_eq!(data["series"], expected);
    }
}
