//! The page of what a model does with one text: where its heads look, and what it would say after each layer.

use std::fmt::Write;

use serde::Serialize;

use super::number_format::format_percent;

/// What a model does with a text.
#[derive(Clone, Debug, Default)]
pub struct InspectPage {
    /// Name of the run.
    pub name: String,
    /// The text.
    pub text: String,
    /// Tokens of the text that are left out at its end.
    pub omitted_tokens: usize,
    /// The tokens, as people read them.
    pub tokens: Vec<String>,
    /// Attention, layer by layer.
    pub attention: Vec<LayerAttention>,
    /// Guesses, layer by layer.
    pub lens: Vec<LensRow>,
}

/// The heads of a layer.
#[derive(Clone, Debug, Default)]
pub struct LayerAttention {
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
    pub top_tokens: Vec<(String, f64)>,
}

/// Shares of a head's looks that go to well-known places, each a mean over the tokens that look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AttentionShares {
    /// To the token itself.
    pub self_token: f64,
    /// To the token before it.
    pub previous_token: f64,
    /// To the first token.
    pub first_token: f64,
}

/// What the template shows.
#[derive(Serialize)]
pub struct View<'a> {
    name: &'a str,
    text: &'a str,
    omitted_tokens: usize,
    summary: String,
    lens_tables: Vec<LensTable<'a>>,
    layers: Vec<LayerAttentionView<'a>>,
    legend: Vec<(f64, String)>,
}

/// A stretch of the tokens with what is said at each.
#[derive(Serialize)]
struct LensTable<'a> {
    tokens: Vec<String>,
    rows: Vec<LensRowView<'a>>,
}

#[derive(Serialize)]
struct LensRowView<'a> {
    name: &'a str,
    /// Token, probability, and how dark the cell is, out of a hundred.
    cells: Vec<(String, String, f64)>,
}

#[derive(Serialize)]
struct LayerAttentionView<'a> {
    path: &'a str,
    heads: Vec<HeadMapView>,
}

#[derive(Serialize)]
struct HeadMapView {
    shares: String,
    /// Width and height in cells, the names beside it included; of the names alone; a cell in pixels.
    size: usize,
    label_margin: f64,
    cell_pixels: f64,
    /// Opacity and path of the cells of each level.
    levels: Vec<(f64, String)>,
    names: Vec<String>,
}

/// Shades of a map.
const SHADE_LEVELS: usize = 12;

/// Tokens beside each other in a table.
const TABLE_COLUMNS: usize = 12;

/// Characters of a token's name beside a map.
const MAX_NAME_CHARS: usize = 9;

/// Gathers what the page shows.
pub fn view(inside: &InspectPage) -> View<'_> {
    View {
        name: &inside.name,
        text: &inside.text,
        omitted_tokens: inside.omitted_tokens,
        summary: summary(inside),
        lens_tables: lens_tables(inside),
        layers: inside.attention.iter().map(|layer| layer_view(layer, &inside.tokens)).collect(),
        legend: [0.02, 0.1, 0.25, 0.5, 1.0]
            .map(|weight| (opacity(shade_level(weight)), format_percent(f64::from(weight))))
            .into(),
    }
}

fn summary(inside: &InspectPage) -> String {
    let heads: usize = inside.attention.iter().map(|layer| layer.heads.len()).sum();
    let count = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let maps = format!("{} in {}", count(heads, "head"), count(inside.attention.len(), "attention layer"));
    let surest = inside
        .lens
        .last()
        .map(|row| row.top_tokens.iter().map(|guess| guess.1).sum::<f64>() / row.top_tokens.len().max(1) as f64);
    let said = surest.map_or(String::new(), |mean| {
        format!(" At the end its likeliest token has {} on average.", format_percent(mean).replace(' ', "\u{a0}"))
    });
    format!("{} through {maps}.{said}", count(inside.tokens.len(), "token"))
}

/// Stretches as long as a page is wide.
fn lens_tables(inside: &InspectPage) -> Vec<LensTable<'_>> {
    let tokens = if inside.lens.is_empty() { &[][..] } else { &inside.tokens };
    let stretch = |(nth, tokens): (usize, &[String])| {
        let places = nth * TABLE_COLUMNS..nth * TABLE_COLUMNS + tokens.len();
        let rows =
            inside.lens.iter().map(|row| lens_row(&row.name, row.top_tokens.get(places.clone()).unwrap_or_default()));
        LensTable { tokens: tokens.iter().map(|token| short_token(token)).collect(), rows: rows.collect() }
    };
    tokens.chunks(TABLE_COLUMNS).enumerate().map(stretch).collect()
}

fn lens_row<'a>(name: &'a str, guesses: &[(String, f64)]) -> LensRowView<'a> {
    let cell = |guess: &'_ (String, f64)| (short_token(&guess.0), format_percent(guess.1), (70.0 * guess.1).round());
    LensRowView { name, cells: guesses.iter().map(cell).collect() }
}

fn layer_view<'a>(layer: &'a LayerAttention, tokens: &[String]) -> LayerAttentionView<'a> {
    LayerAttentionView {
        path: &layer.path,
        heads: layer.heads.iter().map(|weights| head_map(weights, tokens)).collect(),
    }
}

fn head_map(weights: &[f32], tokens: &[String]) -> HeadMapView {
    let names: Vec<String> = tokens.iter().map(|token| short_token(token)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    HeadMapView {
        shares: format_shares(attention_shares(weights, tokens.len())),
        size: tokens.len(),
        label_margin: (0.52 * longest as f64 + 0.5).ceil(),
        cell_pixels: if tokens.len() > 28 { 12.0 } else { 15.0 },
        levels: cell_paths(weights, tokens.len()),
        names,
    }
}

fn short_token(token: &str) -> String {
    let shown = token.replace(' ', "\u{2423}");
    if shown.chars().count() <= MAX_NAME_CHARS {
        return shown;
    }
    shown.chars().take(MAX_NAME_CHARS - 1).chain(['…']).collect()
}

/// The level of a weight: the square root tells small ones apart.
fn shade_level(weight: f32) -> usize {
    (f64::from(weight).clamp(0.0, 1.0).sqrt() * SHADE_LEVELS as f64).round() as usize
}

fn opacity(level: usize) -> f64 {
    (level as f64 / SHADE_LEVELS as f64 * 100.0).round() / 100.0
}

/// A path a level of all cells that have it, those beside each other in one piece.
fn cell_paths(weights: &[f32], size: usize) -> Vec<(f64, String)> {
    let mut paths = vec![String::new(); SHADE_LEVELS + 1];
    for (query, row) in weights.chunks(size.max(1)).enumerate() {
        let cells: Vec<(usize, usize)> = row.iter().map(|weight| shade_level(*weight)).enumerate().collect();
        for run in cells.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1 > 0) {
            let ((key, level), length) = (run[0], run.len());
            let _ = write!(paths[level], "M{key} {query}h{length}v1h-{length}z");
        }
    }
    let drawn = paths.into_iter().enumerate().filter(|(_, path)| !path.is_empty());
    drawn.map(|(level, path)| (opacity(level), path)).collect()
}

/// The habits of a head with `size` tokens; the first token, which has no choice, is left out where there are more.
pub fn attention_shares(weights: &[f32], size: usize) -> AttentionShares {
    let first = usize::from(size > 1);
    let rows: Vec<(usize, &[f32])> = weights.chunks(size.max(1)).enumerate().skip(first).collect();
    let mean = |key: &dyn Fn(usize) -> Option<usize>| {
        let look =
            |(query, row): &(usize, &[f32])| key(*query).and_then(|key| row.get(key)).map_or(0.0, |w| f64::from(*w));
        rows.iter().map(look).sum::<f64>() / rows.len().max(1) as f64
    };
    AttentionShares {
        self_token: mean(&Some),
        previous_token: mean(&|query| query.checked_sub(1)),
        first_token: mean(&|_| Some(0)),
    }
}

fn format_shares(habits: AttentionShares) -> String {
    let AttentionShares { self_token: itself, previous_token: previous, first_token: first } = habits;
    format!("itself {}, previous {}, first {}", format_percent(itself), format_percent(previous), format_percent(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shades_are_drawn_in_one_path() {
        let drawn = cell_paths(&[1.0, 0.0, 0.5, 0.5], 2);
        assert_eq!(drawn, [(0.67, "M0 1h2v1h-2z".to_string()), (1.0, "M0 0h1v1h-1z".to_string())]);
        assert_eq!((shade_level(0.0), shade_level(1.0), shade_level(f32::NAN)), (0, SHADE_LEVELS, 0));
    }

    #[test]
    fn habits_are_told_apart() {
        let weights = [1.0, 0.0, 0.0, 0.25, 0.75, 0.0, 0.5, 0.25, 0.25];
        assert_eq!(
            attention_shares(&weights, 3),
            AttentionShares { self_token: 0.5, previous_token: 0.25, first_token: 0.375 }
        );
        assert_eq!(
            attention_shares(&[1.0], 1),
            AttentionShares { self_token: 1.0, previous_token: 0.0, first_token: 1.0 }
        );
    }

    #[test]
    fn names_are_short_and_spaces_show() {
        assert_eq!([short_token(" cat"), short_token("unbelievably")], ["\u{2423}cat", "unbeliev…"]);
    }
}
