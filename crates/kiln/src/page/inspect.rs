//! Data and view of the model analysis page: attention maps and logit lens of one text.
//!
//! `kiln inspect MODEL --text TEXT` fills an [`InspectPage`] from `kiln_interpret::inspect`; `templates/inspect.html` draws
//! the view:
//!
//! - **Logit lens**: tables of up to 12 tokens (columns) by layers (rows). A cell holds the most likely next token and its
//!   probability p; its background is the accent color with 70 % · p opacity.
//! - **Attention maps**: one large map with token names, and below it a thumbnail for each head, by layer, with an index of
//!   the layers. Queries go downwards, keys to the right. A weight w has shade ⌊12 · √w⌉ of 12; the legend shows the shades
//!   of five weights.
//!
//! Without scripts the large map is that of the first head, and all thumbnails are there. `templates/inspect.js` puts the
//! chosen head into the large map. It also marks a token that is pointed at or chosen: its row in the large map, its column
//! in the logit lens, and in the list of tokens the weights of its attention.
//!
//! An empty text gives a page with its heading only. Non-finite weights count as 0, non-finite probabilities are a dash.

use std::fmt::Write;

use serde::Serialize;

use super::number_format::format_percent;

/// Data of the model analysis page.
#[derive(Clone, Debug, Default)]
pub struct InspectPage {
    /// Name of the model.
    pub name: String,
    /// The analyzed text.
    pub text: String,
    /// Number of tokens at the end of the text that are not shown.
    pub omitted_tokens: usize,
    /// The tokens, as text.
    pub tokens: Vec<String>,
    /// Attention maps, by layer.
    pub attention: Vec<LayerAttention>,
    /// Predictions after each layer (logit lens).
    pub lens: Vec<LensRow>,
}

/// Attention maps of a layer.
#[derive(Clone, Debug, Default)]
pub struct LayerAttention {
    /// Path of the layer, such as `blocks.3.attention`.
    pub path: String,
    /// Weights of each head, `tokens × tokens` in row-major order; rows are queries.
    pub heads: Vec<Vec<f32>>,
}

/// Predictions after one layer.
#[derive(Clone, Debug, Default)]
pub struct LensRow {
    /// Name of the layer.
    pub name: String,
    /// Most likely next token and its probability, for each token.
    pub top_tokens: Vec<(String, f64)>,
}

/// Shares of a head's attention that go to well-known positions, averaged over the queries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AttentionShares {
    /// The query itself.
    pub self_token: f64,
    /// The token before the query.
    pub previous_token: f64,
    /// The first token.
    pub first_token: f64,
}

/// Fields of `templates/inspect.html`.
#[derive(Serialize)]
pub struct View<'a> {
    name: &'a str,
    text: &'a str,
    omitted_tokens: usize,
    summary: String,
    /// The tokens with visible spaces, in full.
    tokens: Vec<String>,
    lens_tables: Vec<LensTable<'a>>,
    layers: Vec<LayerAttentionView<'a>>,
    large_map: Option<LargeMapView>,
    /// Opacity and attention weight of the legend.
    legend: Vec<(f64, String)>,
}

/// The map with token names. Its cells are those of one head.
#[derive(Serialize)]
struct LargeMapView {
    /// Space for the token names above and to the left, in cells: ⌈0.52 · longest name + 0.5⌉.
    label_margin: f64,
    /// Size of a cell, in pixels: 15, or 12 for more than 28 tokens.
    cell_pixels: f64,
    names: Vec<String>,
}

/// Predictions for a range of tokens that fits the width of the page.
#[derive(Serialize)]
struct LensTable<'a> {
    tokens: Vec<String>,
    rows: Vec<LensRowView<'a>>,
}

/// Predictions after one layer, for the tokens of one table.
#[derive(Serialize)]
struct LensRowView<'a> {
    name: &'a str,
    /// Token, probability, and percent of the background color.
    cells: Vec<(String, String, f64)>,
}

/// The maps of a layer.
#[derive(Serialize)]
struct LayerAttentionView<'a> {
    path: &'a str,
    heads: Vec<HeadMapView>,
}

/// An attention map, in units of one cell.
#[derive(Serialize)]
struct HeadMapView {
    shares: String,
    /// The largest of the shares, such as `first 92 %`.
    main_share: String,
    /// Opacity, and SVG path of the cells with this opacity.
    levels: Vec<(f64, String)>,
}

/// Number of shades of an attention map.
const SHADE_LEVELS: usize = 12;

/// Number of tokens per logit-lens table.
const TABLE_COLUMNS: usize = 12;

/// Maximum number of characters of a token name.
const MAX_NAME_CHARS: usize = 9;

/// Weights in the legend of the attention maps.
const LEGEND_WEIGHTS: [f32; 5] = [0.02, 0.1, 0.25, 0.5, 1.0];

/// Builds the view.
pub fn view(page: &InspectPage) -> View<'_> {
    let legend = LEGEND_WEIGHTS.map(|weight| (opacity(shade_level(weight)), format_percent(f64::from(weight))));
    View {
        name: &page.name,
        text: &page.text,
        omitted_tokens: page.omitted_tokens,
        summary: summary(page),
        tokens: page.tokens.iter().map(|token| visible_spaces(token)).collect(),
        lens_tables: lens_tables(page),
        layers: page.attention.iter().map(|layer| layer_view(layer, page.tokens.len())).collect(),
        large_map: page.attention.iter().any(|layer| !layer.heads.is_empty()).then(|| large_map(&page.tokens)),
        legend: legend.into(),
    }
}

/// Number of tokens, heads and layers, and the mean probability of the predictions.
fn summary(page: &InspectPage) -> String {
    let heads: usize = page.attention.iter().map(|layer| layer.heads.len()).sum();
    let tokens = count_noun(page.tokens.len(), "token");
    let heads = count_noun(heads, "head");
    let layers = count_noun(page.attention.len(), "attention layer");
    let confidence = page.lens.last().map_or(String::new(), |row| {
        let sum: f64 = row.top_tokens.iter().map(|(_, probability)| probability).sum();
        let mean = format_percent(sum / row.top_tokens.len().max(1) as f64).replace(' ', "\u{a0}");
        format!(" After the last layer, the most likely next token has a probability of {mean} on average.")
    });
    format!("{tokens}; {heads} in {layers}.{confidence}")
}

/// `1 token`, `2 tokens`.
fn count_noun(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Splits the predictions into tables of [`TABLE_COLUMNS`] tokens.
fn lens_tables(page: &InspectPage) -> Vec<LensTable<'_>> {
    let tokens = if page.lens.is_empty() { &[][..] } else { &page.tokens };
    let tables = tokens.chunks(TABLE_COLUMNS).enumerate().map(|(index, tokens)| {
        let start = index * TABLE_COLUMNS;
        let rows = page.lens.iter().map(|row| {
            let top_tokens = row.top_tokens.get(start..start + tokens.len()).unwrap_or_default();
            LensRowView { name: &row.name, cells: top_tokens.iter().map(lens_cell).collect() }
        });
        LensTable { tokens: tokens.iter().map(|token| short_token(token)).collect(), rows: rows.collect() }
    });
    tables.collect()
}

/// A cell of the logit-lens table. The background is at most 70 % of the accent color, so that the text stays
/// readable.
fn lens_cell((token, probability): &(String, f64)) -> (String, String, f64) {
    (short_token(token), format_percent(*probability), (70.0 * probability).round())
}

/// One map per head of a text of `size` tokens.
fn layer_view(layer: &LayerAttention, size: usize) -> LayerAttentionView<'_> {
    LayerAttentionView { path: &layer.path, heads: layer.heads.iter().map(|weights| head_map(weights, size)).collect() }
}

/// `weights` is row-major with one row per query.
fn head_map(weights: &[f32], size: usize) -> HeadMapView {
    let shares = attention_shares(weights, size);
    let named = [("self", shares.self_token), ("previous", shares.previous_token), ("first", shares.first_token)];
    let main = named.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    HeadMapView {
        shares: format_shares(shares),
        main_share: main.map_or(String::new(), |(name, share)| format!("{name} {}", format_percent(share))),
        levels: cell_paths(weights, size),
    }
}

/// The names and the geometry of the large map. Cells are smaller for long texts.
fn large_map(tokens: &[String]) -> LargeMapView {
    let names: Vec<String> = tokens.iter().map(|token| short_token(token)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    LargeMapView {
        // A character of the monospace font is about half a cell wide.
        label_margin: (0.52 * longest as f64 + 0.5).ceil(),
        cell_pixels: if tokens.len() > 28 { 12.0 } else { 15.0 },
        names,
    }
}

/// A token with visible spaces.
fn visible_spaces(token: &str) -> String {
    token.replace(' ', "\u{2423}")
}

/// A token with visible spaces, cut to [`MAX_NAME_CHARS`].
fn short_token(token: &str) -> String {
    let name = visible_spaces(token);
    if name.chars().count() <= MAX_NAME_CHARS {
        return name;
    }
    name.chars().take(MAX_NAME_CHARS - 1).chain(['…']).collect()
}

/// Shade ⌊12 · √w⌉ of a weight w, clamped to 0..=12. The square root separates small weights; NaN is shade 0.
fn shade_level(weight: f32) -> usize {
    (f64::from(weight).clamp(0.0, 1.0).sqrt() * SHADE_LEVELS as f64).round() as usize
}

/// Opacity of a shade, with two decimals.
fn opacity(level: usize) -> f64 {
    (level as f64 / SHADE_LEVELS as f64 * 100.0).round() / 100.0
}

/// Opacity and SVG path of each shade in use, with one rectangle for each run of equal cells in a row. Shade 0 is not
/// drawn. Coordinates are in cells: x is the key, y the query.
fn cell_paths(weights: &[f32], size: usize) -> Vec<(f64, String)> {
    let mut paths = vec![String::new(); SHADE_LEVELS + 1];
    for (query, row) in weights.chunks(size.max(1)).enumerate() {
        let cells: Vec<(usize, usize)> = row.iter().map(|weight| shade_level(*weight)).enumerate().collect();
        for run in cells.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1 > 0) {
            let (key, level) = run[0];
            let length = run.len();
            let _ = write!(paths[level], "M{key} {query}h{length}v1h-{length}z");
        }
    }
    let used = paths.into_iter().enumerate().filter(|(_, path)| !path.is_empty());
    used.map(|(level, path)| (opacity(level), path)).collect()
}

/// Attention shares of a head on `size` tokens. The first query, which can only attend to itself under a causal mask, is
/// left out unless it is the only one.
///
/// Each share is between 0 and 1. They may add up to more than 1, because the positions can coincide. Missing weights
/// count 0.
pub fn attention_shares(weights: &[f32], size: usize) -> AttentionShares {
    let skipped = usize::from(size > 1);
    let rows: Vec<(usize, &[f32])> = weights.chunks(size.max(1)).enumerate().skip(skipped).collect();
    AttentionShares {
        self_token: mean_weight(&rows, Some),
        previous_token: mean_weight(&rows, |query| query.checked_sub(1)),
        first_token: mean_weight(&rows, |_| Some(0)),
    }
}

/// Mean over the queries of the weight at the key that `key` returns for each. A missing key or weight counts 0.
fn mean_weight(rows: &[(usize, &[f32])], key: impl Fn(usize) -> Option<usize>) -> f64 {
    let weights = rows.iter().map(|(query, row)| key(*query).and_then(|key| row.get(key)).copied());
    weights.map(|weight| f64::from(weight.unwrap_or(0.0))).sum::<f64>() / rows.len().max(1) as f64
}

/// `self 50 %, previous 25 %, first 38 %`.
fn format_shares(shares: AttentionShares) -> String {
    let self_token = format_percent(shares.self_token);
    let previous = format_percent(shares.previous_token);
    let first = format_percent(shares.first_token);
    format!("self {self_token}, previous {previous}, first {first}")
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
    fn attention_shares_are_means_over_the_queries() {
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
    fn token_names_are_short_and_show_spaces() {
        assert_eq!([short_token(" cat"), short_token("unbelievably")], ["\u{2423}cat", "unbeliev…"]);
    }
}
