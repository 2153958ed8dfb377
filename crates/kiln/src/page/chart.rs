//! Line charts and scatter plots in SVG.
//!
//! Written by hand rather than with `plotters`, because these charts take their colors from CSS variables (light, dark
//! and print), stretch to the width of the screen while text and line widths stay the same, and carry their values for
//! the pointer. The SVG holds paths only: x in `0..1000` units, y in pixels, `preserveAspectRatio="none"`. Labels are
//! HTML over it. [`Chart::draw`] computes all positions; `templates/chart.html` prints them.
//!
//! - **Position**: x = 1000 · p units and y = height · (1 − p) pixels for a value at position p of its axis
//!   ([`Scale::position`]), rounded to a tenth.
//! - **Ticks**: about 5 on the x axis and one per 45 pixels on the y axis, at least 3 ([`Scale::ticks`]).
//! - **Downsampling**: at most five points for each of 333 columns ([`downsample::downsample`]).
//! - **Color**: index i is the CSS variable `--c(i mod 6)` of `page.css` (blue, orange, green, purple, ocher, light blue,
//!   with other values in a dark color scheme); from 6 on the line is dotted. Levels are gray and dashed.
//! - **Gaps**: a non-finite value interrupts a line. A point without neighbors is a dot.

use serde::Serialize;

use super::downsample;
use super::hover;
use super::labels::{self, Dot, DotView, EndLabel};
use super::number_format::Unit;
use super::scale::Scale;

/// Width of the drawing in SVG units.
const WIDTH: f64 = 1000.0;

/// Lines that leave the frame are clipped at this multiple of its height, so that no path has huge coordinates.
const MAX_OVERSHOOT: f64 = 100.0;

/// Pixels between two labels of the y axis, roughly.
const Y_TICK_DISTANCE: f64 = 45.0;

/// Style of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LineStyle {
    /// Solid line with its name at its end.
    #[default]
    Line,
    /// Pale, unnamed line in the background. Its outliers may leave the frame.
    Faint,
    /// Named dashed gray level across the whole frame. Not shown under the pointer.
    Dashed,
}

/// A line. A point with a non-finite value interrupts it.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Name; empty for the only line of a chart.
    pub name: String,
    /// Color index. There are six colors; from 6 on they repeat with a dotted line.
    pub color: usize,
    /// Style.
    pub style: LineStyle,
    /// Points (x, y), sorted by x.
    pub points: Vec<(f64, f64)>,
}

/// One of the two axes.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// Label.
    pub label: String,
    /// Unit of the tick labels.
    pub unit: Unit,
    /// Whether the axis is logarithmic.
    pub is_log: bool,
    /// Ends of the axis. `None`: from the values.
    pub range: Option<(f64, f64)>,
    /// Whether the axis includes zero.
    pub include_zero: bool,
}

/// A chart before layout.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Title.
    pub title: String,
    /// Sentence beside the title.
    pub note: String,
    /// Height of the frame, in pixels.
    pub height: f64,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Lines, from back to front.
    pub series: Vec<Series>,
    /// Named vertical lines: x and name of events such as an interruption.
    pub event_markers: Vec<(f64, String)>,
    /// Named points.
    pub dots: Vec<Dot>,
}

/// A chart after layout. The fields are those of the macro `chart` in `templates/chart.html`.
#[derive(Clone, Debug, Serialize)]
pub struct ChartView {
    title: String,
    note: String,
    height: f64,
    /// Space to the right of the frame for the end labels, in pixels.
    gutter: f64,
    x_label: String,
    y_label: String,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    event_markers: Vec<Tick>,
    lines: Vec<LineView>,
    end_labels: Vec<EndLabel>,
    dots: Vec<DotView>,
    /// Text alternative of the chart.
    summary: String,
    /// JSON for `hover.js`.
    hover: String,
}

/// A labeled position on an axis: percent of the width for x, pixels from the top for y.
#[derive(Clone, Debug, Serialize)]
struct Tick {
    position: f64,
    text: String,
}

/// A line after layout.
#[derive(Clone, Debug, Serialize)]
struct LineView {
    style: LineStyle,
    color: usize,
    /// SVG path.
    d: String,
    /// SVG path of the points without a neighbor, drawn as dots.
    isolated_points: String,
}

impl Chart {
    /// Computes all positions. Returns `None` if there is no finite value to draw: no points, only NaN and infinities, or
    /// only non-positive values on a logarithmic axis.
    pub fn draw(&self) -> Option<ChartView> {
        let (x, y) = self.scales()?;
        // Three SVG units per column: more points than that cannot be seen.
        let columns = WIDTH as usize / 3;
        let downsampled: Vec<_> =
            self.series.iter().map(|series| downsample::downsample(&series.points, &x, columns)).collect();
        let lines = self.series.iter().zip(&downsampled);
        let end_labels: Vec<EndLabel> =
            lines.clone().filter_map(|(series, points)| self.end_label(series, points, &y)).collect();
        let y_tick_count = (self.height / Y_TICK_DISTANCE) as usize;
        Some(ChartView {
            title: self.title.clone(),
            note: self.note.clone(),
            height: self.height,
            gutter: labels::label_width(&end_labels),
            x_label: self.x.label.clone(),
            y_label: self.y.label.clone(),
            x_ticks: axis_ticks(&self.x, &x, 5, |value| x_percent(&x, value)),
            y_ticks: axis_ticks(&self.y, &y, y_tick_count, |value| self.y_pixel(&y, value)),
            event_markers: self.event_ticks(&x),
            lines: lines.clone().map(|(series, points)| self.line_view(series, points, &x, &y)).collect(),
            end_labels: labels::separate_labels(end_labels, self.height),
            dots: labels::place_dots(&self.dots, &x, &y, self.height),
            summary: self.summary(),
            hover: hover::hover_json(self, lines, (&x, &y)),
        })
    }

    /// Scales of the two axes.
    ///
    /// Outliers of faint lines do not widen the y axis ([`downsample::without_outliers`]). The y axis is rounded outwards
    /// unless its range is given; the x axis only for a scatter plot, so that lines begin and end at the frame.
    fn scales(&self) -> Option<(Scale, Scale)> {
        let points = self.series.iter().flat_map(|series| series.points.iter().copied());
        let x_values = points.filter(|point| point.1.is_finite()).map(|point| point.0);
        let x = self.x.scale(x_values.chain(self.dots.iter().map(|dot| dot.x)))?;
        let y_values = self.series.iter().flat_map(|series| match series.style {
            LineStyle::Faint => downsample::without_outliers(&series.points),
            _ => series.points.clone(),
        });
        let y = self.y.scale(y_values.map(|point| point.1).chain(self.dots.iter().map(|dot| dot.y)))?;
        let x = if self.dots.is_empty() { x } else { x.round_ends(self.x.unit, 5) };
        let y = if self.y.range.is_some() { y } else { y.round_ends(self.y.unit, 5) };
        Some((x, y))
    }

    /// Event markers inside the frame. Events at one position share a marker, with their names joined.
    fn event_ticks(&self, x: &Scale) -> Vec<Tick> {
        let ticks: Vec<Tick> = self
            .event_markers
            .iter()
            .map(|(value, name)| Tick { position: x_percent(x, *value), text: name.clone() })
            .filter(|tick| (0.0..=100.0).contains(&tick.position))
            .collect();
        let same_position = ticks.chunk_by(|a, b| a.position == b.position);
        same_position
            .map(|ticks| {
                let names: Vec<&str> = ticks.iter().map(|tick| tick.text.as_str()).collect();
                Tick { position: ticks[0].position, text: names.join(", ") }
            })
            .collect()
    }

    /// Pixels from the top of the frame, height · (1 − p), clipped to ±100 heights.
    fn y_pixel(&self, y: &Scale, value: f64) -> f64 {
        round_tenth(self.height * (1.0 - y.position(value)).clamp(-MAX_OVERSHOOT, MAX_OVERSHOOT))
    }

    /// A line as SVG paths. Non-finite points split it, and runs of one point become dots. A dashed line spans the whole
    /// frame at the height of its first point.
    fn line_view(&self, series: &Series, points: &[(f64, f64)], x: &Scale, y: &Scale) -> LineView {
        let mut view =
            LineView { style: series.style, color: series.color, d: String::new(), isolated_points: String::new() };
        for run in points.split(|(a, b)| !x.position(*a).is_finite() || !y.position(*b).is_finite()) {
            let pixels: Vec<(f64, f64)> =
                run.iter().map(|(a, b)| (round_tenth(WIDTH * x.position(*a)), self.y_pixel(y, *b))).collect();
            match pixels[..] {
                [(_, top), ..] if series.style == LineStyle::Dashed => view.d = format!("M0 {top}H{WIDTH}"),
                // A stroke of almost no length with round ends is a dot.
                [(left, top)] => view.isolated_points += &format!("M{left} {top}h.01"),
                _ => view.d += &svg_path(&pixels),
            }
        }
        view
    }

    /// Label with name and last finite value at the end of a line. `None` for faint and unnamed lines and for lines
    /// without a finite value.
    fn end_label(&self, series: &Series, points: &[(f64, f64)], y: &Scale) -> Option<EndLabel> {
        let (_, value) = points.iter().rev().find(|point| y.position(point.1).is_finite())?;
        let is_named = series.style != LineStyle::Faint && !series.name.is_empty();
        is_named.then(|| EndLabel {
            top: self.y_pixel(y, *value),
            name: series.name.clone(),
            value: self.y.unit.format(*value),
            color: series.color,
            style: series.style,
        })
    }

    /// First and last finite value of each solid line, as text for screen readers: `Loss: training from 6.90 to 1.93`.
    fn summary(&self) -> String {
        let solid = self.series.iter().filter(|series| series.style == LineStyle::Line);
        let ranges = solid.filter_map(|series| {
            let mut finite = series.points.iter().filter(|point| point.1.is_finite());
            let first = finite.next()?;
            let last = finite.next_back().unwrap_or(first);
            let unit = self.y.unit;
            Some(format!("{} from {} to {}", series.name, unit.format(first.1), unit.format(last.1)))
        });
        format!("{}: {}", self.title, ranges.collect::<Vec<_>>().join(", "))
    }
}

impl Axis {
    /// Scale over `values`, or over `range` if it is set. `None` without a usable value.
    fn scale(&self, values: impl Iterator<Item = f64>) -> Option<Scale> {
        let zero = self.include_zero.then_some(0.0);
        let from_values = Scale::from_values(values.chain(zero), self.is_log)?;
        Some(self.range.map_or(from_values, |(low, high)| Scale { low, high, is_log: self.is_log }))
    }
}

/// About `count` (at least three) labeled positions of an axis.
fn axis_ticks(axis: &Axis, scale: &Scale, count: usize, position: impl Fn(f64) -> f64) -> Vec<Tick> {
    let ticks = scale.ticks(axis.unit, count.max(3)).into_iter();
    ticks.map(|(value, text)| Tick { position: position(value), text }).collect()
}

/// Percent of the width.
fn x_percent(x: &Scale, value: f64) -> f64 {
    round_tenth(100.0 * x.position(value))
}

/// A polyline as an SVG path.
fn svg_path(points: &[(f64, f64)]) -> String {
    let commands = std::iter::once('M').chain(std::iter::repeat('L'));
    commands.zip(points).map(|(command, (x, y))| format!("{command}{x} {y}")).collect()
}

/// A tenth of a pixel, or of a percent: more digits would only make the page larger.
fn round_tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
