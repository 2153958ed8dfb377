//! The page of what a model does with one text: where its heads look, and what it would say after each layer.

use std::fmt::Write;

use serde::Serialize;

use super::number::percent;

/// What a model does with a text.
#[derive(Clone, Debug, Default)]
pub struct Inside {
    /// Name of the run.
    pub name: String,
    /// The text.
    pub text: String,
    /// Tokens of the text that are left out at its end.
    pub left_out: usize,
    /// The tokens, as people read them.
    pub tokens: Vec<String>,
    /// Attention, layer by layer.
    pub layers: Vec<LayerMaps>,
    /// Guesses, layer by layer.
    pub lens: Vec<LensRow>,
}

/// The heads of a layer.
#[derive(Clone, Debug, Default)]
pub struct LayerMaps {
    /// The layer's path.
    pub path: String,
    /// Weights of each head: a row a token that looks, as many columns as rows.
    pub heads: Vec<Vec<f32>>,
}

/// What would be said after a layer.
#[derive(Clone, Debug, Default)]
pub struct LensRow {
    /// The layer.
    pub name: String,
    /// The likeliest token and its probability, a token each.
    pub guesses: Vec<(String, f64)>,
}

/// Shares of a head's looks that go to well-known places, each a mean over the tokens that look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Habits {
    /// To the token itself.
    pub itself: f64,
    /// To the token before it.
    pub previous: f64,
    /// To the first token.
    pub first: f64,
}

/// What the template shows.
#[derive(Serialize)]
pub struct View<'a> {
    name: &'a str,
    text: &'a str,
    left_out: usize,
    sentence: String,
    lens: Vec<Lens<'a>>,
    layers: Vec<Maps<'a>>,
    legend: Vec<(f64, String)>,
}

/// A stretch of the tokens with what is said at each.
#[derive(Serialize)]
struct Lens<'a> {
    reads: Vec<String>,
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    /// Token, probability, and how dark the cell is, out of a hundred.
    cells: Vec<(String, String, f64)>,
}

#[derive(Serialize)]
struct Maps<'a> {
    path: &'a str,
    heads: Vec<MapView>,
}

#[derive(Serialize)]
struct MapView {
    habits: String,
    /// Width and height in cells, the names beside it included; of the names alone; a cell in pixels.
    size: usize,
    margin: f64,
    pixels: f64,
    /// Opacity and path of the cells of each level.
    levels: Vec<(f64, String)>,
    names: Vec<String>,
}

/// Shades of a map.
const LEVELS: usize = 12;

/// Tokens beside each other in a table.
const ACROSS: usize = 12;

/// Characters of a token's name beside a map.
const NAME: usize = 9;

/// Gathers what the page shows.
pub fn view(inside: &Inside) -> View<'_> {
    View {
        name: &inside.name,
        text: &inside.text,
        left_out: inside.left_out,
        sentence: sentence(inside),
        lens: lens(inside),
        layers: inside.layers.iter().map(|layer| maps(layer, &inside.tokens)).collect(),
        legend: [0.02, 0.1, 0.25, 0.5, 1.0].map(|weight| (shade(level(weight)), percent(f64::from(weight)))).into(),
    }
}

fn sentence(inside: &Inside) -> String {
    let heads: usize = inside.layers.iter().map(|layer| layer.heads.len()).sum();
    let count = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let maps = format!("{} in {}", count(heads, "head"), count(inside.layers.len(), "attention layer"));
    let surest = inside
        .lens
        .last()
        .map(|row| row.guesses.iter().map(|guess| guess.1).sum::<f64>() / row.guesses.len().max(1) as f64);
    let said = surest.map_or(String::new(), |mean| {
        format!(" At the end its likeliest token has {} on average.", percent(mean).replace(' ', "\u{a0}"))
    });
    format!("{} through {maps}.{said}", count(inside.tokens.len(), "token"))
}

/// Stretches as long as a page is wide.
fn lens(inside: &Inside) -> Vec<Lens<'_>> {
    let tokens = if inside.lens.is_empty() { &[][..] } else { &inside.tokens };
    let stretch = |(nth, tokens): (usize, &[String])| {
        let places = nth * ACROSS..nth * ACROSS + tokens.len();
        let rows =
            inside.lens.iter().map(|row| lens_row(&row.name, row.guesses.get(places.clone()).unwrap_or_default()));
        Lens { reads: tokens.iter().map(|token| short(token)).collect(), rows: rows.collect() }
    };
    tokens.chunks(ACROSS).enumerate().map(stretch).collect()
}

fn lens_row<'a>(name: &'a str, guesses: &[(String, f64)]) -> Row<'a> {
    let cell = |guess: &'_ (String, f64)| (short(&guess.0), percent(guess.1), (70.0 * guess.1).round());
    Row { name, cells: guesses.iter().map(cell).collect() }
}

fn maps<'a>(layer: &'a LayerMaps, tokens: &[String]) -> Maps<'a> {
    Maps { path: &layer.path, heads: layer.heads.iter().map(|weights| map(weights, tokens)).collect() }
}

fn map(weights: &[f32], tokens: &[String]) -> MapView {
    let names: Vec<String> = tokens.iter().map(|token| short(token)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    MapView {
        habits: words(habits(weights, tokens.len())),
        size: tokens.len(),
        margin: (0.52 * longest as f64 + 0.5).ceil(),
        pixels: if tokens.len() > 28 { 12.0 } else { 15.0 },
        levels: draw(weights, tokens.len()),
        names,
    }
}

fn short(token: &str) -> String {
    let shown = token.replace(' ', "\u{2423}");
    if shown.chars().count() <= NAME {
        return shown;
    }
    shown.chars().take(NAME - 1).chain(['…']).collect()
}

/// The level of a weight: the square root tells small ones apart.
fn level(weight: f32) -> usize {
    (f64::from(weight).clamp(0.0, 1.0).sqrt() * LEVELS as f64).round() as usize
}

fn shade(level: usize) -> f64 {
    (level as f64 / LEVELS as f64 * 100.0).round() / 100.0
}

/// A path a level of all cells that have it, those beside each other in one piece.
fn draw(weights: &[f32], size: usize) -> Vec<(f64, String)> {
    let mut paths = vec![String::new(); LEVELS + 1];
    for (query, row) in weights.chunks(size.max(1)).enumerate() {
        let cells: Vec<(usize, usize)> = row.iter().map(|weight| level(*weight)).enumerate().collect();
        for run in cells.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1 > 0) {
            let ((key, level), length) = (run[0], run.len());
            let _ = write!(paths[level], "M{key} {query}h{length}v1h-{length}z");
        }
    }
    let drawn = paths.into_iter().enumerate().filter(|(_, path)| !path.is_empty());
    drawn.map(|(level, path)| (shade(level), path)).collect()
}

/// The habits of a head with `size` tokens; the first token, which has no choice, is left out where there are more.
pub fn habits(weights: &[f32], size: usize) -> Habits {
    let first = usize::from(size > 1);
    let rows: Vec<(usize, &[f32])> = weights.chunks(size.max(1)).enumerate().skip(first).collect();
    let mean = |key: &dyn Fn(usize) -> Option<usize>| {
        let look =
            |(query, row): &(usize, &[f32])| key(*query).and_then(|key| row.get(key)).map_or(0.0, |w| f64::from(*w));
        rows.iter().map(look).sum::<f64>() / rows.len().max(1) as f64
    };
    Habits { itself: mean(&Some), previous: mean(&|query| query.checked_sub(1)), first: mean(&|_| Some(0)) }
}

fn words(habits: Habits) -> String {
    let Habits { itself, previous, first } = habits;
    format!("itself {}, previous {}, first {}", percent(itself), percent(previous), percent(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shades_are_drawn_in_one_path() {
        let drawn = draw(&[1.0, 0.0, 0.5, 0.5], 2);
        assert_eq!(drawn, [(0.67, "M0 1h2v1h-2z".to_string()), (1.0, "M0 0h1v1h-1z".to_string())]);
        assert_eq!((level(0.0), level(1.0), level(f32::NAN)), (0, LEVELS, 0));
    }

    #[test]
    fn habits_are_told_apart() {
        let weights = [1.0, 0.0, 0.0, 0.25, 0.75, 0.0, 0.5, 0.25, 0.25];
        assert_eq!(habits(&weights, 3), Habits { itself: 0.5, previous: 0.25, first: 0.375 });
        assert_eq!(habits(&[1.0], 1), Habits { itself: 1.0, previous: 0.0, first: 1.0 });
    }

    #[test]
    fn names_are_short_and_spaces_show() {
        assert_eq!([short(" cat"), short("unbelievably")], ["\u{2423}cat", "unbeliev…"]);
    }
}
