//! Names beside lines and points, placed so that they do not cover each other.

use serde::Serialize;

use super::chart::LineStyle;
use super::scale::Scale;

/// Distance from one line of text to the next, in pixels.
const LINE_HEIGHT: f64 = 17.0;
/// Width that a chart is taken to have when the names of points are kept apart, in pixels.
const ASSUMED_WIDTH: f64 = 640.0;
/// Width of a letter, in pixels.
const LETTER_WIDTH: f64 = 7.0;
/// Width of a letter in the widest of the fonts that a page may be shown in, in pixels.
const MAX_LETTER_WIDTH: f64 = 7.8;

/// The name at the end of a line.
#[derive(Clone, Debug, Serialize)]
pub struct EndLabel {
    /// Pixels from the top of the frame to its middle.
    pub top: f64,
    /// What the line shows.
    pub name: String,
    /// Its last value.
    pub value: String,
    /// Number of its colour.
    pub color: usize,
    /// How the line looks.
    pub style: LineStyle,
}

/// Moves names up and down until each has a line of its own, in the order of their lines' ends. That of a line which ends
/// beyond the frame stands at its edge.
pub fn separate_labels(mut ends: Vec<EndLabel>, height: f64) -> Vec<EndLabel> {
    ends.iter_mut().for_each(|end| end.top = end.top.clamp(0.0, height));
    ends.sort_by(|a, b| a.top.total_cmp(&b.top));
    let mut least = f64::NEG_INFINITY;
    for end in &mut ends {
        end.top = end.top.max(least);
        least = end.top + LINE_HEIGHT;
    }
    let mut most = height.max(LINE_HEIGHT * (ends.len().max(1) - 1) as f64);
    for end in ends.iter_mut().rev() {
        end.top = end.top.min(most);
        most = end.top - LINE_HEIGHT;
    }
    ends
}

/// Room that the names need beside the frame, in pixels.
pub fn label_width(ends: &[EndLabel]) -> f64 {
    let letters = |end: &EndLabel| end.name.chars().count() + end.value.chars().count();
    ends.iter().map(letters).max().map_or(14.0, |most| (24.0 + most as f64 * MAX_LETTER_WIDTH).round().min(210.0))
}

/// A single point with a name.
#[derive(Clone, Debug, Default)]
pub struct Dot {
    /// Value across.
    pub x: f64,
    /// Value upwards.
    pub y: f64,
    /// Width in pixels.
    pub width: f64,
    /// What it is.
    pub name: String,
    /// What is said when the pointer rests on it.
    pub title: String,
    /// Number of its colour.
    pub color: usize,
}

/// A point whose place is known: a share of the width across, pixels down.
#[derive(Clone, Debug, Serialize)]
pub struct DotView {
    left: f64,
    top: f64,
    width: f64,
    name: String,
    title: String,
    color: usize,
    /// Where the name stands: `right`, `left`, `above` or `below`.
    label_side: &'static str,
}

/// A box on the chart, in pixels: left, top, right, bottom.
type Area = [f64; 4];

/// Finds the points' places and, for each name, the first side where it covers no point and no other name.
pub fn place_dots(dots: &[Dot], x: &Scale, y: &Scale, height: f64) -> Vec<DotView> {
    let spot = |dot: &Dot| (x.position(dot.x), height * (1.0 - y.position(dot.y)));
    let shown: Vec<_> = dots.iter().filter(|d| spot(d).0.is_finite() && spot(d).1.is_finite()).collect();
    let mut taken: Vec<Area> = shown.iter().map(|dot| dot_area(spot(dot), dot.width)).collect();
    let view = |dot: &&Dot| {
        let (across, top) = spot(dot);
        let options = label_areas(dot, (across, top));
        let free = |area: &Area| {
            area[0] >= 0.0 && area[2] <= ASSUMED_WIDTH && !taken.iter().any(|other| has_overlap(area, other))
        };
        let (side, area) = options.into_iter().find(|(_, area)| free(area)).unwrap_or(options[0]);
        taken.push(area);
        DotView {
            left: (across * 1000.0).round() / 10.0,
            top: top.round(),
            width: dot.width,
            name: dot.name.clone(),
            title: dot.title.clone(),
            color: dot.color,
            label_side: side,
        }
    };
    shown.iter().map(view).collect()
}

fn dot_area((across, top): (f64, f64), width: f64) -> Area {
    let (left, half) = (across * ASSUMED_WIDTH, width / 2.0);
    [left - half, top - half, left + half, top + half]
}

fn label_areas(dot: &Dot, (across, top): (f64, f64)) -> [(&'static str, Area); 4] {
    let (left, half) = (across * ASSUMED_WIDTH, dot.width / 2.0);
    let (wide, line) = (dot.name.chars().count() as f64 * LETTER_WIDTH, LINE_HEIGHT / 2.0);
    let near = half + 4.0;
    [
        ("right", [left + near, top - line, left + near + wide, top + line]),
        ("left", [left - near - wide, top - line, left - near, top + line]),
        ("above", [left - wide / 2.0, top - near - LINE_HEIGHT, left + wide / 2.0, top - near]),
        ("below", [left - wide / 2.0, top + near, left + wide / 2.0, top + near + LINE_HEIGHT]),
    ]
}

fn has_overlap(a: &Area, b: &Area) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(top: f64) -> EndLabel {
        EndLabel { top, name: String::new(), value: String::new(), color: 0, style: LineStyle::Line }
    }

    #[test]
    fn names_keep_a_line_apart_within_the_frame() {
        let tops: Vec<f64> =
            separate_labels(vec![end(190.0), end(10.0), end(195.0), end(200.0)], 200.0).iter().map(|e| e.top).collect();
        assert_eq!(tops, [10.0, 166.0, 183.0, 200.0]);
        let tops: Vec<f64> = separate_labels(vec![end(4.0), end(0.0), end(2.0)], 200.0).iter().map(|e| e.top).collect();
        assert_eq!(tops, [0.0, 17.0, 34.0]);
        assert!(separate_labels(Vec::new(), 200.0).is_empty());
        assert_eq!(separate_labels(vec![end(-900.0)], 200.0)[0].top, 0.0);
    }

    #[test]
    fn names_of_points_avoid_each_other() {
        let scale = Scale { low: 0.0, high: 1.0, is_log: false };
        let dot = |x: f64| Dot { x, y: 0.5, width: 10.0, name: "a name".into(), ..Dot::default() };
        let sides: Vec<_> =
            place_dots(&[dot(0.5), dot(0.53), dot(0.99)], &scale, &scale, 200.0).iter().map(|d| d.label_side).collect();
        assert_eq!(sides, ["left", "right", "left"]);
    }
}
