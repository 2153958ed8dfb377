//! What the page's script knows of a chart, to answer the pointer with values.

use serde::Serialize;

use super::chart::{Chart, Look, Series};
use super::scale::Scale;

#[derive(Serialize)]
struct Hover<'a> {
    x: [f64; 2],
    y: [f64; 2],
    log: [bool; 2],
    units: [&'static str; 2],
    /// Whether x counts steps, so that tokens and time can be named too.
    steps: bool,
    series: Vec<HoverSeries<'a>>,
}

#[derive(Serialize)]
struct HoverSeries<'a> {
    name: &'a str,
    colour: usize,
    points: Vec<(f64, f64)>,
}

/// The axes and the named lines of a chart, as JSON.
pub fn data<'a>(
    chart: &Chart,
    lines: impl Iterator<Item = (&'a Series, &'a Vec<(f64, f64)>)>,
    (x, y): (&Scale, &Scale),
) -> String {
    let drawn = |p: &&(f64, f64)| x.at(p.0).is_finite() && y.at(p.1).is_finite();
    let series = lines.filter(|(s, _)| s.look == Look::Line).map(|(s, points)| HoverSeries {
        name: &s.name,
        colour: s.colour,
        points: points.iter().filter(drawn).map(|p| (short(p.0), short(p.1))).collect(),
    });
    let hover = Hover {
        x: [x.low, x.high],
        y: [y.low, y.high],
        log: [x.log, y.log],
        units: [chart.x.unit.key(), chart.y.unit.key()],
        steps: chart.x.label == "step",
        series: series.collect(),
    };
    serde_json::to_string(&hover).unwrap_or_default()
}

/// Six significant digits, to keep the page small.
fn short(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_drawn_points_of_named_lines_are_known() {
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.234_567_8)];
        let line = |look| Series { name: "a\"b".into(), look, points: points.clone(), ..Series::default() };
        let lines = [line(Look::Line), line(Look::Faint), line(Look::Dashed)];
        let scale = Scale { low: 0.0, high: 2.0, log: false };
        let read = data(&Chart::default(), lines.iter().map(|s| (s, &s.points)), (&scale, &scale));
        let read: serde_json::Value = serde_json::from_str(&read).expect("JSON");
        let want = serde_json::json!([{ "name": "a\"b", "colour": 0, "points": [[0.0, 1.0], [2.0, 1.23457]] }]);
        assert_eq!(read["series"], want);
    }
}
