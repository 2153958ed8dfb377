//! Line charts and scatter plots that a page draws in SVG.
//!
//! Written here rather than with `plotters`, whose colours and text are fixed when it draws: these take their colours
//! from CSS variables (light, dark, paper), stretch to the width of the screen while text and lines keep their size
//! (the SVG holds lines only, in `0..1000` across and pixels down; labels are text over it), and carry their values
//! for the pointer. [`Chart::draw`] finds the places, `templates/chart.html` writes them.

use serde::Serialize;

use super::labels::{self, Dot, DotView, End};
use super::number::Unit;
use super::scale::Scale;
use super::thin;

/// Width of the drawing, in its own units.
const WIDTH: f64 = 1000.0;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Look {
    /// A line with its name at its end.
    #[default]
    Line,
    /// A pale line behind another, without a name; its outliers may leave the frame.
    Faint,
    /// A reference: dashed, grey, named, unknown to the pointer.
    Dashed,
}

/// A line. A point with a value that is not finite interrupts it.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// What it shows; empty for the only line of a chart.
    pub name: String,
    /// Number of its colour.
    pub colour: usize,
    /// How it looks.
    pub look: Look,
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
    pub log: bool,
    /// Its ends, if not those of the values.
    pub ends: Option<(f64, f64)>,
    /// Whether it begins at zero.
    pub zero: bool,
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
    pub moments: Vec<(f64, String)>,
    /// Single points with a name.
    pub dots: Vec<Dot>,
}

/// A chart whose places are known: what the template writes.
#[derive(Clone, Debug, Serialize)]
pub struct Drawn {
    title: String,
    note: String,
    height: f64,
    x_label: String,
    y_label: String,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    moments: Vec<Tick>,
    lines: Vec<LineView>,
    ends: Vec<End>,
    dots: Vec<DotView>,
    summary: String,
    hover: String,
}

/// A place on an axis: a share of the width across, pixels down.
#[derive(Clone, Debug, Serialize)]
struct Tick {
    at: f64,
    text: String,
}

#[derive(Clone, Debug, Serialize)]
struct LineView {
    look: Look,
    colour: usize,
    d: String,
}

/// What the script knows of a chart.
#[derive(Serialize)]
struct Hover<'a> {
    x: [f64; 2],
    y: [f64; 2],
    log: [bool; 2],
    units: [&'static str; 2],
    steps: bool,
    series: Vec<HoverSeries<'a>>,
}

#[derive(Serialize)]
struct HoverSeries<'a> {
    name: &'a str,
    colour: usize,
    points: Vec<(f64, f64)>,
}

impl Chart {
    /// Finds the places of all there is to draw; `None` without a single value.
    pub fn draw(&self) -> Option<Drawn> {
        let (x, y) = self.scales()?;
        let thinned: Vec<_> = self.series.iter().map(|s| thin::to_width(&s.points, &x, WIDTH as usize / 3)).collect();
        let lines = self.series.iter().zip(&thinned);
        let ends = lines.clone().filter_map(|(s, points)| self.end(s, points, &y)).collect();
        Some(Drawn {
            title: self.title.clone(),
            note: self.note.clone(),
            height: self.height,
            x_label: self.x.label.clone(),
            y_label: self.y.label.clone(),
            x_ticks: ticks(&self.x, &x, 5, |v| rounded(100.0 * x.at(v))),
            y_ticks: ticks(&self.y, &y, (self.height / 55.0) as usize, |v| self.down(&y, v)),
            moments: self.moments.iter().map(|(v, text)| Tick { at: rounded(100.0 * x.at(*v)), text: text.clone() }).collect(),
            lines: lines.clone().map(|(s, points)| self.line(s, points, &x, &y)).collect(),
            ends: labels::apart(ends, self.height),
            dots: labels::place(&self.dots, &x, &y, self.height),
            summary: self.summary(),
            hover: self.hover(lines, &x, &y),
        })
    }

    fn scales(&self) -> Option<(Scale, Scale)> {
        let points = || self.series.iter().flat_map(|s| s.points.iter().copied()).filter(|p| p.1.is_finite());
        let dots = || self.dots.iter().map(|d| (d.x, d.y));
        let x = self.x.scale(points().chain(dots()).map(|p| p.0))?;
        let calm = self.series.iter().flat_map(|s| if s.look == Look::Faint { thin::calm(&s.points) } else { s.points.clone() });
        let y = self.y.scale(calm.chain(dots()).map(|p| p.1))?;
        let x = if self.dots.is_empty() { x } else { x.rounded(self.x.unit, 5) };
        Some((x, if self.y.ends.is_some() { y } else { y.rounded(self.y.unit, 5) }))
    }

    fn down(&self, y: &Scale, value: f64) -> f64 {
        rounded(self.height * (1.0 - y.at(value)))
    }

    fn line(&self, series: &Series, points: &[(f64, f64)], x: &Scale, y: &Scale) -> LineView {
        let place = |(a, b): &(f64, f64)| (rounded(WIDTH * x.at(*a)), self.down(y, *b));
        let mut d = String::new();
        for run in points.split(|(a, b)| !x.at(*a).is_finite() || !y.at(*b).is_finite()) {
            for (nth, (across, down)) in run.iter().map(place).enumerate() {
                d += &format!("{}{across} {down}", if nth == 0 { 'M' } else { 'L' });
            }
            d += if run.len() == 1 { "h.01" } else { "" };
        }
        LineView { look: series.look, colour: series.colour, d }
    }

    fn end(&self, series: &Series, points: &[(f64, f64)], y: &Scale) -> Option<End> {
        let (_, value) = points.iter().rev().find(|p| y.at(p.1).is_finite())?;
        let named = series.look != Look::Faint && !series.name.is_empty();
        named.then(|| End {
            top: self.down(y, *value),
            name: series.name.clone(),
            value: self.y.unit.text(*value),
            colour: series.colour,
            look: series.look,
        })
    }

    fn summary(&self) -> String {
        let lines = self.series.iter().filter(|s| s.look == Look::Line).filter_map(|s| {
            let mut finite = s.points.iter().filter(|p| p.1.is_finite());
            let first = finite.next()?;
            let last = finite.next_back().unwrap_or(first);
            Some(format!("{} from {} to {}", s.name, self.y.unit.text(first.1), self.y.unit.text(last.1)))
        });
        format!("{}: {}", self.title, lines.collect::<Vec<_>>().join(", "))
    }

    fn hover<'a>(&self, lines: impl Iterator<Item = (&'a Series, &'a Vec<(f64, f64)>)>, x: &Scale, y: &Scale) -> String {
        let series = lines.filter(|(s, _)| s.look == Look::Line).map(|(s, points)| HoverSeries {
            name: &s.name,
            colour: s.colour,
            points: points.iter().filter(|p| y.at(p.1).is_finite()).map(|p| (short(p.0), short(p.1))).collect(),
        });
        let hover = Hover {
            x: [x.low, x.high],
            y: [y.low, y.high],
            log: [x.log, y.log],
            units: [self.x.unit.key(), self.y.unit.key()],
            steps: self.x.label == "step",
            series: series.collect(),
        };
        serde_json::to_string(&hover).unwrap_or_default()
    }
}

impl Axis {
    fn scale(&self, values: impl Iterator<Item = f64>) -> Option<Scale> {
        let zero = self.zero.then_some(0.0);
        let around = Scale::around(values.chain(zero), self.log)?;
        Some(self.ends.map_or(around, |(low, high)| Scale { low, high, log: self.log }))
    }
}

fn ticks(axis: &Axis, scale: &Scale, wanted: usize, at: impl Fn(f64) -> f64) -> Vec<Tick> {
    let unit = if axis.unit == Unit::Loss { Unit::Plain } else { axis.unit };
    scale.ticks(unit, wanted.max(2)).into_iter().map(|v| Tick { at: at(v), text: unit.text(v) }).collect()
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Five significant digits, to keep the page small.
fn short(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}
