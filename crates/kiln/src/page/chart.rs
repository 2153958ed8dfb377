//! Line charts and scatter plots that a page draws in SVG.
//!
//! Written here rather than with `plotters`, whose colours and text are fixed when it draws: these take their colours
//! from CSS variables (light, dark, paper), stretch to the width of the screen while text and lines keep their size
//! (the SVG holds lines only, in `0..1000` across and pixels down; labels are text over it), and carry their values
//! for the pointer. [`Chart::draw`] finds the places, `templates/chart.html` writes them.

use serde::Serialize;

use super::hover;
use super::labels::{self, Dot, DotView, End};
use super::number::Unit;
use super::scale::Scale;
use super::thin;

/// Width of the drawing, in its own units.
const WIDTH: f64 = 1000.0;

/// Lines that leave the frame go on so many times its height.
const FAR: f64 = 100.0;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Look {
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
    /// Room to the right of the frame, in pixels.
    gutter: f64,
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
    /// Points without a neighbour.
    alone: String,
}

impl Chart {
    /// Finds the places of all there is to draw; `None` without a single value.
    pub fn draw(&self) -> Option<Drawn> {
        let (x, y) = self.scales()?;
        let thinned: Vec<_> = self.series.iter().map(|s| thin::to_width(&s.points, &x, WIDTH as usize / 3)).collect();
        let lines = self.series.iter().zip(&thinned);
        let ends: Vec<End> = lines.clone().filter_map(|(s, points)| self.end(s, points, &y)).collect();
        Some(Drawn {
            title: self.title.clone(),
            note: self.note.clone(),
            height: self.height,
            gutter: labels::gutter(&ends),
            x_label: self.x.label.clone(),
            y_label: self.y.label.clone(),
            x_ticks: ticks(&self.x, &x, 5, |v| rounded(100.0 * x.at(v))),
            y_ticks: ticks(&self.y, &y, (self.height / 45.0) as usize, |v| self.down(&y, v)),
            moments: self.moments(&x),
            lines: lines.clone().map(|(s, points)| self.line(s, points, &x, &y)).collect(),
            ends: labels::apart(ends, self.height),
            dots: labels::place(&self.dots, &x, &y, self.height),
            summary: self.summary(),
            hover: hover::data(self, lines, (&x, &y)),
        })
    }

    fn scales(&self) -> Option<(Scale, Scale)> {
        let points = || self.series.iter().flat_map(|s| s.points.iter().copied()).filter(|p| p.1.is_finite());
        let dots = || self.dots.iter().map(|d| (d.x, d.y));
        let x = self.x.scale(points().chain(dots()).map(|p| p.0))?;
        let calm = self
            .series
            .iter()
            .flat_map(|s| if s.look == Look::Faint { thin::calm(&s.points) } else { s.points.clone() });
        let y = self.y.scale(calm.chain(dots()).map(|p| p.1))?;
        let x = if self.dots.is_empty() { x } else { x.rounded(self.x.unit, 5) };
        Some((x, if self.y.ends.is_some() { y } else { y.rounded(self.y.unit, 5) }))
    }

    /// What happened, as one name where several things happened at once.
    fn moments(&self, x: &Scale) -> Vec<Tick> {
        let at = |moment: &(f64, String)| rounded(100.0 * x.at(moment.0));
        let within = self.moments.iter().filter(|m| (0.0..=100.0).contains(&at(m))).collect::<Vec<_>>();
        let joined = |together: &[&(f64, String)]| {
            let names: Vec<&str> = together.iter().map(|m| m.1.as_str()).collect();
            Tick { at: at(together[0]), text: names.join(", ") }
        };
        within.chunk_by(|a, b| at(a) == at(b)).map(joined).collect()
    }

    fn down(&self, y: &Scale, value: f64) -> f64 {
        rounded(self.height * (1.0 - y.at(value)).clamp(-FAR, FAR))
    }

    fn line(&self, series: &Series, points: &[(f64, f64)], x: &Scale, y: &Scale) -> LineView {
        let place = |(a, b): &(f64, f64)| (rounded(WIDTH * x.at(*a)), self.down(y, *b));
        let mut view = LineView { look: series.look, colour: series.colour, d: String::new(), alone: String::new() };
        for run in points.split(|(a, b)| !x.at(*a).is_finite() || !y.at(*b).is_finite()) {
            let places: Vec<_> = run.iter().map(place).collect();
            match places[..] {
                [(_, down), ..] if series.look == Look::Dashed => view.d = format!("M0 {down}H{WIDTH}"),
                [(across, down)] => view.alone += &format!("M{across} {down}h.01"),
                _ => view.d += &path(&places),
            }
        }
        view
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
}

impl Axis {
    fn scale(&self, values: impl Iterator<Item = f64>) -> Option<Scale> {
        let zero = self.zero.then_some(0.0);
        let around = Scale::around(values.chain(zero), self.log)?;
        Some(self.ends.map_or(around, |(low, high)| Scale { low, high, log: self.log }))
    }
}

fn ticks(axis: &Axis, scale: &Scale, wanted: usize, at: impl Fn(f64) -> f64) -> Vec<Tick> {
    scale.ticks(axis.unit, wanted.max(3)).into_iter().map(|(v, text)| Tick { at: at(v), text }).collect()
}

fn path(places: &[(f64, f64)]) -> String {
    let to =
        |(nth, (across, down)): (usize, &(f64, f64))| format!("{}{across} {down}", if nth == 0 { 'M' } else { 'L' });
    places.iter().enumerate().map(to).collect()
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
