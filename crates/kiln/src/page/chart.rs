//! Line charts and scatter plots that a page draws in SVG.
//!
//! Written here rather than with `plotters`, whose colours and text are fixed when it draws: these take their colours
//! from CSS variables (light, dark, paper), stretch to the width of the screen while text and lines keep their size
//! (the SVG holds lines only, in `0..1000` across and pixels down; labels are text over it), and carry their values
//! for the pointer. [`Chart::draw`] finds the places, `templates/chart.html` writes them.

use serde::Serialize;

use super::downsample;
use super::hover;
use super::labels::{self, Dot, DotView, EndLabel};
use super::number_format::Unit;
use super::scale::Scale;

/// Width of the drawing, in its own units.
const WIDTH: f64 = 1000.0;

/// Lines that leave the frame go on so many times its height.
const MAX_OVERSHOOT: f64 = 100.0;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LineStyle {
    /// A line with its name at its end.
    #[default]
    Line,
    /// A pale line behind another, without a name; its outliers may leave the frame.
    Faint,
    /// A level: dashed, grey, across the whole frame, named, unknown to the pointer.
    Dashed,
}

/// A line. A point with a value that is not finite interrupts it.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// What it shows; empty for the only line of a chart.
    pub name: String,
    /// Number of its colour.
    pub color: usize,
    /// How it looks.
    pub style: LineStyle,
    /// Its points, in order of x.
    pub points: Vec<(f64, f64)>,
}

/// One of the two axes.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// What it measures.
    pub label: String,
    /// How its values are written.
    pub unit: Unit,
    /// Whether it is logarithmic.
    pub is_log: bool,
    /// Its ends, if not those of the values.
    pub range: Option<(f64, f64)>,
    /// Whether it begins at zero.
    pub include_zero: bool,
}

/// A chart, before its places are known.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Its heading.
    pub title: String,
    /// A sentence beside the heading.
    pub note: String,
    /// Height of the frame, in pixels.
    pub height: f64,
    /// The axis across.
    pub x: Axis,
    /// The axis upwards.
    pub y: Axis,
    /// The lines, the first at the bottom.
    pub series: Vec<Series>,
    /// Places on the axis across, with a name: something happened there.
    pub event_markers: Vec<(f64, String)>,
    /// Single points with a name.
    pub dots: Vec<Dot>,
}

/// A chart whose places are known: what the template writes.
#[derive(Clone, Debug, Serialize)]
pub struct ChartView {
    title: String,
    note: String,
    height: f64,
    /// Room to the right of the frame, in pixels.
    gutter: f64,
    x_label: String,
    y_label: String,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    event_markers: Vec<Tick>,
    lines: Vec<LineView>,
    end_labels: Vec<EndLabel>,
    dots: Vec<DotView>,
    summary: String,
    hover: String,
}

/// A place on an axis: a share of the width across, pixels down.
#[derive(Clone, Debug, Serialize)]
struct Tick {
    position: f64,
    text: String,
}

#[derive(Clone, Debug, Serialize)]
struct LineView {
    style: LineStyle,
    color: usize,
    d: String,
    /// Points without a neighbour.
    isolated_points: String,
}

impl Chart {
    /// Finds the places of all there is to draw; `None` without a single value.
    pub fn draw(&self) -> Option<ChartView> {
        let (x, y) = self.scales()?;
        let thinned: Vec<_> =
            self.series.iter().map(|s| downsample::downsample(&s.points, &x, WIDTH as usize / 3)).collect();
        let lines = self.series.iter().zip(&thinned);
        let ends: Vec<EndLabel> = lines.clone().filter_map(|(s, points)| self.end_label(s, points, &y)).collect();
        Some(ChartView {
            title: self.title.clone(),
            note: self.note.clone(),
            height: self.height,
            gutter: labels::label_width(&ends),
            x_label: self.x.label.clone(),
            y_label: self.y.label.clone(),
            x_ticks: ticks(&self.x, &x, 5, |v| round_tenth(100.0 * x.position(v))),
            y_ticks: ticks(&self.y, &y, (self.height / 45.0) as usize, |v| self.y_pixel(&y, v)),
            event_markers: self.event_ticks(&x),
            lines: lines.clone().map(|(s, points)| self.line_view(s, points, &x, &y)).collect(),
            end_labels: labels::separate_labels(ends, self.height),
            dots: labels::place_dots(&self.dots, &x, &y, self.height),
            summary: self.summary(),
            hover: hover::hover_json(self, lines, (&x, &y)),
        })
    }

    fn scales(&self) -> Option<(Scale, Scale)> {
        let points = || self.series.iter().flat_map(|s| s.points.iter().copied()).filter(|p| p.1.is_finite());
        let dots = || self.dots.iter().map(|d| (d.x, d.y));
        let x = self.x.scale(points().chain(dots()).map(|p| p.0))?;
        let calm = self.series.iter().flat_map(|s| {
            if s.style == LineStyle::Faint { downsample::without_outliers(&s.points) } else { s.points.clone() }
        });
        let y = self.y.scale(calm.chain(dots()).map(|p| p.1))?;
        let x = if self.dots.is_empty() { x } else { x.round_ends(self.x.unit, 5) };
        Some((x, if self.y.range.is_some() { y } else { y.round_ends(self.y.unit, 5) }))
    }

    /// What happened, as one name where several things happened at once.
    fn event_ticks(&self, x: &Scale) -> Vec<Tick> {
        let at = |moment: &(f64, String)| round_tenth(100.0 * x.position(moment.0));
        let within = self.event_markers.iter().filter(|m| (0.0..=100.0).contains(&at(m))).collect::<Vec<_>>();
        let joined = |together: &[&(f64, String)]| {
            let names: Vec<&str> = together.iter().map(|m| m.1.as_str()).collect();
            Tick { position: at(together[0]), text: names.join(", ") }
        };
        within.chunk_by(|a, b| at(a) == at(b)).map(joined).collect()
    }

    fn y_pixel(&self, y: &Scale, value: f64) -> f64 {
        round_tenth(self.height * (1.0 - y.position(value)).clamp(-MAX_OVERSHOOT, MAX_OVERSHOOT))
    }

    fn line_view(&self, series: &Series, points: &[(f64, f64)], x: &Scale, y: &Scale) -> LineView {
        let place = |(a, b): &(f64, f64)| (round_tenth(WIDTH * x.position(*a)), self.y_pixel(y, *b));
        let mut view =
            LineView { style: series.style, color: series.color, d: String::new(), isolated_points: String::new() };
        for run in points.split(|(a, b)| !x.position(*a).is_finite() || !y.position(*b).is_finite()) {
            let places: Vec<_> = run.iter().map(place).collect();
            match places[..] {
                [(_, down), ..] if series.style == LineStyle::Dashed => view.d = format!("M0 {down}H{WIDTH}"),
                [(across, down)] => view.isolated_points += &format!("M{across} {down}h.01"),
                _ => view.d += &svg_path(&places),
            }
        }
        view
    }

    fn end_label(&self, series: &Series, points: &[(f64, f64)], y: &Scale) -> Option<EndLabel> {
        let (_, value) = points.iter().rev().find(|p| y.position(p.1).is_finite())?;
        let named = series.style != LineStyle::Faint && !series.name.is_empty();
        named.then(|| EndLabel {
            top: self.y_pixel(y, *value),
            name: series.name.clone(),
            value: self.y.unit.format(*value),
            color: series.color,
            style: series.style,
        })
    }

    fn summary(&self) -> String {
        let lines = self.series.iter().filter(|s| s.style == LineStyle::Line).filter_map(|s| {
            let mut finite = s.points.iter().filter(|p| p.1.is_finite());
            let first = finite.next()?;
            let last = finite.next_back().unwrap_or(first);
            Some(format!("{} from {} to {}", s.name, self.y.unit.format(first.1), self.y.unit.format(last.1)))
        });
        format!("{}: {}", self.title, lines.collect::<Vec<_>>().join(", "))
    }
}

impl Axis {
    fn scale(&self, values: impl Iterator<Item = f64>) -> Option<Scale> {
        let zero = self.include_zero.then_some(0.0);
        let around = Scale::from_values(values.chain(zero), self.is_log)?;
        Some(self.range.map_or(around, |(low, high)| Scale { low, high, is_log: self.is_log }))
    }
}

fn ticks(axis: &Axis, scale: &Scale, wanted: usize, at: impl Fn(f64) -> f64) -> Vec<Tick> {
    scale.ticks(axis.unit, wanted.max(3)).into_iter().map(|(v, text)| Tick { position: at(v), text }).collect()
}

fn svg_path(places: &[(f64, f64)]) -> String {
    let to =
        |(nth, (across, down)): (usize, &(f64, f64))| format!("{}{across} {down}", if nth == 0 { 'M' } else { 'L' });
    places.iter().enumerate().map(to).collect()
}

fn round_tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
