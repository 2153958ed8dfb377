//! Placement of labels beside lines and points, so that they do not overlap.

use serde::Serialize;

use super::chart::LineStyle;
use super::scale::Scale;

/// Distance between two lines of text, in pixels.
const LINE_HEIGHT: f64 = 17.0;
/// Width of a chart that the placement of point labels assumes, in pixels. The real width depends on the screen.
const ASSUMED_WIDTH: f64 = 640.0;
/// Mean width of a letter, in pixels.
const LETTER_WIDTH: f64 = 7.0;
/// Mean width of a letter in the widest font of the style sheet, in pixels.
const MAX_LETTER_WIDTH: f64 = 7.8;
/// Space to the right of a chart without end labels, in pixels.
const MIN_GUTTER: f64 = 14.0;
/// Longer end labels are cut off, in pixels.
const MAX_GUTTER: f64 = 210.0;

/// Label at the end of a line.
#[derive(Clone, Debug, Serialize)]
pub struct EndLabel {
    /// Pixels from the top of the frame to the middle of the label.
    pub top: f64,
    /// Name of the line.
    pub name: String,
    /// Last value of the line.
    pub value: String,
    /// Color index of the line.
    pub color: usize,
    /// Style of the line.
    pub style: LineStyle,
}

/// Moves labels up and down until they are 17 pixels (a line of text) apart, in the order of their line ends.
///
/// Labels of lines that leave the frame are placed at its edge. More labels than the frame has lines of text extend
/// below it. Takes O(n log n).
pub fn separate_labels(mut labels: Vec<EndLabel>, height: f64) -> Vec<EndLabel> {
    labels.iter_mut().for_each(|label| label.top = label.top.clamp(0.0, height));
    labels.sort_by(|a, b| a.top.total_cmp(&b.top));
    // From the top, each label is moved below the one before it; from the bottom, back into the frame.
    let mut min_top = f64::NEG_INFINITY;
    for label in &mut labels {
        label.top = label.top.max(min_top);
        min_top = label.top + LINE_HEIGHT;
    }
    let mut max_top = height.max(LINE_HEIGHT * (labels.len().max(1) - 1) as f64);
    for label in labels.iter_mut().rev() {
        label.top = label.top.min(max_top);
        max_top = label.top - LINE_HEIGHT;
    }
    labels
}

/// Width that the labels need to the right of the frame, in pixels: 24 + 7.8 · letters of the longest label, at most 210;
/// 14 without labels.
pub fn label_width(labels: &[EndLabel]) -> f64 {
    let lengths = labels.iter().map(|label| label.name.chars().count() + label.value.chars().count());
    match lengths.max() {
        Some(letters) => (24.0 + letters as f64 * MAX_LETTER_WIDTH).round().min(MAX_GUTTER),
        None => MIN_GUTTER,
    }
}

/// A named point.
#[derive(Clone, Debug, Default)]
pub struct Dot {
    /// Value on the x axis.
    pub x: f64,
    /// Value on the y axis.
    pub y: f64,
    /// Diameter in pixels.
    pub width: f64,
    /// Label.
    pub name: String,
    /// Tooltip.
    pub title: String,
    /// Color index.
    pub color: usize,
}

/// A named point after layout.
#[derive(Clone, Debug, Serialize)]
pub struct DotView {
    /// Percent of the width.
    left: f64,
    /// Pixels from the top.
    top: f64,
    width: f64,
    name: String,
    title: String,
    color: usize,
    /// Side of the label: `right`, `left`, `above` or `below`.
    label_side: &'static str,
}

/// A box on the chart, in pixels: left, top, right, bottom.
type Area = [f64; 4];

/// A point on the chart: share of the width, and pixels from the top.
#[derive(Clone, Copy)]
struct Spot {
    across: f64,
    top: f64,
}

/// Places points, and each label on the first side where it overlaps no point and no earlier label; on the right if
/// there is no such side. Points with a non-finite position are left out.
pub fn place_dots(dots: &[Dot], x: &Scale, y: &Scale, height: f64) -> Vec<DotView> {
    let placed: Vec<(&Dot, Spot)> = dots
        .iter()
        .map(|dot| (dot, Spot { across: x.position(dot.x), top: height * (1.0 - y.position(dot.y)) }))
        .filter(|(_, spot)| spot.across.is_finite() && spot.top.is_finite())
        .collect();
    let mut taken: Vec<Area> = placed.iter().map(|(dot, spot)| dot_area(*spot, dot.width)).collect();
    let mut views = Vec::new();
    for (dot, spot) in placed {
        let options = label_areas(dot, spot);
        let (label_side, area) = options.into_iter().find(|(_, area)| is_free(area, &taken)).unwrap_or(options[0]);
        taken.push(area);
        views.push(DotView {
            left: (spot.across * 1000.0).round() / 10.0,
            top: spot.top.round(),
            width: dot.width,
            name: dot.name.clone(),
            title: dot.title.clone(),
            color: dot.color,
            label_side,
        });
    }
    views
}

/// The box of a point.
fn dot_area(spot: Spot, width: f64) -> Area {
    let left = spot.across * ASSUMED_WIDTH;
    let radius = width / 2.0;
    [left - radius, spot.top - radius, left + radius, spot.top + radius]
}

/// The boxes of a point's label on the four sides.
fn label_areas(dot: &Dot, Spot { across, top }: Spot) -> [(&'static str, Area); 4] {
    let left = across * ASSUMED_WIDTH;
    let width = dot.name.chars().count() as f64 * LETTER_WIDTH;
    let half_line = LINE_HEIGHT / 2.0;
    let distance = dot.width / 2.0 + 4.0;
    [
        ("right", [left + distance, top - half_line, left + distance + width, top + half_line]),
        ("left", [left - distance - width, top - half_line, left - distance, top + half_line]),
        ("above", [left - width / 2.0, top - distance - LINE_HEIGHT, left + width / 2.0, top - distance]),
        ("below", [left - width / 2.0, top + distance, left + width / 2.0, top + distance + LINE_HEIGHT]),
    ]
}

/// Whether a box is inside the chart horizontally and overlaps none of `taken`.
fn is_free(area: &Area, taken: &[Area]) -> bool {
    area[0] >= 0.0 && area[2] <= ASSUMED_WIDTH && !taken.iter().any(|other| has_overlap(area, other))
}

/// Whether two boxes share more than an edge.
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
    fn end_labels_are_a_line_apart_within_the_frame() {
        let tops: Vec<f64> =
            separate_labels(vec![end(190.0), end(10.0), end(195.0), end(200.0)], 200.0).iter().map(|e| e.top).collect();
        assert_eq!(tops, [10.0, 166.0, 183.0, 200.0]);
        let tops: Vec<f64> = separate_labels(vec![end(4.0), end(0.0), end(2.0)], 200.0).iter().map(|e| e.top).collect();
        assert_eq!(tops, [0.0, 17.0, 34.0]);
        assert!(separate_labels(Vec::new(), 200.0).is_empty());
        assert_eq!(separate_labels(vec![end(-900.0)], 200.0)[0].top, 0.0);
    }

    #[test]
    fn labels_of_points_do_not_overlap() {
        let scale = Scale { low: 0.0, high: 1.0, is_log: false };
        let dot = |x: f64| Dot { x, y: 0.5, width: 10.0, name: "a name".into(), ..Dot::default() };
        let sides: Vec<_> =
            place_dots(&[dot(0.5), dot(0.53), dot(0.99)], &scale, &scale, 200.0).iter().map(|d| d.label_side).collect();
        assert_eq!(sides, ["left", "right", "left"]);
    }
}
