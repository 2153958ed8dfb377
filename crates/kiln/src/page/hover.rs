//! What the page's script knows of a chart, to answer the pointer with values.

use serde::Serialize;

use super::chart::{Chart, LineStyle, Series};
use super::scale::Scale;

#[derive(Serialize)]
struct HoverData<'a> {
    x: [f64; 2],
    y: [f64; 2],
    log: [bool; 2],
    units: [&'static str; 2],
    /// Whether x counts steps, so that tokens and time can be named too.
    counts_steps: bool,
    series: Vec<HoverSeries<'a>>,
}

#[derive(Serialize)]
struct HoverSeries<'a> {
    name: &'a str,
    color: usize,
    points: Vec<(f64, f64)>,
}

/// The axes and the named lines of a chart, as JSON.
pub fn hover_json<'a>(
    chart: &Chart,
    lines: impl Iterator<Item = (&'a Series, &'a Vec<(f64, f64)>)>,
    (x, y): (&Scale, &Scale),
) -> String {
    let drawn = |p: &&(f64, f64)| x.position(p.0).is_finite() && y.position(p.1).is_finite();
    let series = lines.filter(|(s, _)| s.style == LineStyle::Line).map(|(s, points)| HoverSeries {
        name: &s.name,
        color: s.color,
        points: points.iter().filter(drawn).map(|p| (round_digits(p.0), round_digits(p.1))).collect(),
    });
    let hover = HoverData {
        x: [x.low, x.high],
        y: [y.low, y.high],
        log: [x.is_log, y.is_log],
        units: [chart.x.unit.name(), chart.y.unit.name()],
        counts_steps: chart.x.label == "step",
        series: series.collect(),
    };
    serde_json::to_string(&hover).unwrap_or_default()
}

/// Six significant digits, to keep the page small.
fn round_digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_drawn_points_of_named_lines_are_known() {
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.234_567_8)];
        let line = |look| Series { name: "a\"b".into(), style: look, points: points.clone(), ..Series::default() };
        let lines = [line(LineStyle::Line), line(LineStyle::Faint), line(LineStyle::Dashed)];
        let scale = Scale { low: 0.0, high: 2.0, is_log: false };
        let read = hover_json(&Chart::default(), lines.iter().map(|s| (s, &s.points)), (&scale, &scale));
        let read: serde_json::Value = serde_json::from_str(&read).expect("JSON");
        let want = serde_json::json!([{ "name": "a\"b", "color": 0, "points": [[0.0, 1.0], [2.0, 1.23457]] }]);
        assert_eq!(read["series"], want);
    }
}
