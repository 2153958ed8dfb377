//! The view of a model: a table of its layers with their costs, and its attention patterns.
//!
//! The report includes it by the macro in `templates/model.html`. The table has one row per layer of each different
//! block: name, description, parameters (a number and a bar, whose full width is the largest row), FLOPs per token of the
//! forward pass, bytes of decode state per token, and the kernel. Below it are the reasons for the kernels and one square
//! per different attention pattern: queries downwards, keys to the right, visible cells in the accent color. A model
//! without layers has no section.

use std::fmt::Write;

use serde::Serialize;

use super::blocks::{Block, RepeatedBlocks, find_repeats, layer_role};
use super::data::{LayerSummary, ModelSummary, PatternMask};
use super::number_format::{format_bytes, format_count, format_percent};

/// Fields of `templates/model.html`.
///
/// One table row per layer of a block; equal consecutive blocks share their rows, with costs summed over the copies.
#[derive(Debug, Serialize)]
pub struct ModelView {
    title: String,
    pub parameters: String,
    /// Parameters of the largest row, at least 1: the full width of the bars.
    max_parameters: u64,
    pub groups: Vec<BlockGroup>,
    patterns: Vec<PatternView>,
    pub totals: Costs,
    /// Kernel and the reason for its choice, each pair once.
    kernels: Vec<(String, String)>,
}

/// A block, equal blocks, or a layer outside the blocks.
///
/// `rows` is the sum of the lengths of `blocks`; the template needs it for `rowspan`.
#[derive(Debug, Serialize)]
pub struct BlockGroup {
    /// Name such as `blocks 0–5`; empty outside the blocks.
    pub name: String,
    /// Number of repetitions.
    pub repeats: usize,
    /// Number of table rows.
    rows: usize,
    pub blocks: Vec<Vec<LayerView>>,
}

/// A table row: a layer and its copies in the repeated blocks. Costs are totals over the copies.
#[derive(Debug, Serialize)]
pub struct LayerView {
    /// Path of the first copy, such as `blocks.0.attention`.
    pub path: String,
    /// Name within the block, such as `attention`.
    pub name: String,
    pub title: String,
    pub costs: Costs,
    /// Number of parameters of all copies.
    pub parameters: u64,
    kernel: String,
    /// Number of its attention pattern, from 1.
    pub pattern: Option<usize>,
}

/// Formatted costs of a row. A dash stands for zero.
#[derive(Debug, Serialize)]
pub struct Costs {
    pub parameters: String,
    /// Share of the model's parameters.
    share: String,
    pub flops: String,
    pub state: String,
}

/// An attention pattern as an SVG path.
#[derive(Debug, Serialize)]
pub struct PatternView {
    title: String,
    size: usize,
    d: String,
    visible_share: String,
}

/// Builds the view: finds repeated blocks, sums costs, and draws each pattern once.
///
/// Runs in time proportional to the number of layers times the number of different patterns. Works for any list of
/// layers, also an empty one.
pub fn view(model: &ModelSummary) -> ModelView {
    let patterns = distinct_patterns(&model.layers);
    let total = model.total_parameters;
    let repeats = find_repeats(&model.layers);
    let groups: Vec<BlockGroup> = repeats.iter().map(|repeat| block_group(repeat, total, &patterns)).collect();
    let rows = groups.iter().flat_map(|group| group.blocks.iter().flatten());
    ModelView {
        title: model_title(model),
        parameters: format_count(total as f64),
        max_parameters: rows.map(|layer| layer.parameters).max().unwrap_or(0).max(1),
        groups,
        patterns: patterns.iter().copied().map(draw_pattern).collect(),
        totals: total_costs(model.layers.iter(), total),
        kernels: distinct_kernels(&model.layers),
    }
}

/// `decoder · hidden size 128 · vocabulary size 1024`. An empty stack and sizes of 0 are left out.
fn model_title(model: &ModelSummary) -> String {
    let mut facts = Vec::new();
    if !model.stack.is_empty() {
        facts.push(model.stack.clone());
    }
    for (name, value) in [("hidden size", model.hidden), ("vocabulary size", model.vocab)] {
        if value > 0 {
            facts.push(format!("{name} {value}"));
        }
    }
    facts.join(" · ")
}

/// The rows of one repeat: those of the first `period` blocks. `total` is the number of parameters of the model.
fn block_group(repeat: &RepeatedBlocks, total: u64, patterns: &[&PatternMask]) -> BlockGroup {
    let blocks = repeat.blocks.iter().take(repeat.period).enumerate().map(|(offset, block)| {
        let layers = block.layers.iter().enumerate();
        layers.map(|(index, layer)| layer_view(layer, layer_copies(repeat, offset, index), total, patterns)).collect()
    });
    let blocks: Vec<Vec<LayerView>> = blocks.collect();
    BlockGroup {
        name: group_name(&repeat.blocks),
        repeats: repeat.count,
        rows: blocks.iter().map(Vec::len).sum(),
        blocks,
    }
}

/// The layer `index` of the block `offset` of the repeated pattern, in all repetitions.
fn layer_copies<'a>(
    repeat: &'a RepeatedBlocks,
    offset: usize,
    index: usize,
) -> impl Iterator<Item = &'a LayerSummary> + Clone {
    let copies = repeat.blocks.iter().skip(offset).step_by(repeat.period);
    copies.filter_map(move |block| block.layers.get(index))
}

/// `blocks 3`, `blocks 0–5`, or nothing outside the blocks.
fn group_name(blocks: &[Block]) -> String {
    let first = blocks.first().and_then(|block| block.location);
    let last = blocks.last().and_then(|block| block.location);
    match first.zip(last) {
        Some(((stem, first), (_, last))) if first != last => format!("{stem} {first}–{last}"),
        Some(((stem, only), _)) => format!("{stem} {only}"),
        None => String::new(),
    }
}

/// A row for a layer and its `copies`, which include the layer itself. `patterns` are the different patterns of the
/// model, in order.
fn layer_view<'a>(
    layer: &LayerSummary,
    copies: impl Iterator<Item = &'a LayerSummary> + Clone,
    total: u64,
    patterns: &[&PatternMask],
) -> LayerView {
    let pattern = layer.pattern.as_ref().and_then(|own| patterns.iter().position(|other| *other == own));
    LayerView {
        path: layer.path.clone(),
        name: layer_role(&layer.path).into(),
        title: layer.title.clone(),
        parameters: copies.clone().map(|layer| layer.parameters).sum(),
        costs: total_costs(copies, total),
        kernel: layer.kernel.clone().unwrap_or_default(),
        pattern: pattern.map(|index| index + 1),
    }
}

/// Sums over `layers`; `total` is the number of parameters of the model.
fn total_costs<'a>(layers: impl Iterator<Item = &'a LayerSummary> + Clone, total: u64) -> Costs {
    let sum = |value: fn(&LayerSummary) -> f64| layers.clone().map(value).sum::<f64>();
    let parameters = sum(|layer| layer.parameters as f64);
    Costs {
        parameters: format_nonzero(parameters, format_count),
        share: format_nonzero(parameters / total.max(1) as f64, format_percent),
        flops: format_nonzero(sum(|layer| layer.flops_per_token), format_count),
        state: format_nonzero(sum(|layer| layer.state_bytes_per_token), format_bytes),
    }
}

/// A dash for zero.
pub fn format_nonzero(value: f64, format: fn(f64) -> String) -> String {
    if value == 0.0 { "–".into() } else { format(value) }
}

/// Pairs of kernel and reason in order of first use. Layers without a kernel (such as norms) are left out.
fn distinct_kernels(layers: &[LayerSummary]) -> Vec<(String, String)> {
    let mut kernels: Vec<(String, String)> = Vec::new();
    for layer in layers {
        let kernel = layer.kernel.clone().zip(layer.kernel_reason.clone());
        kernels.extend(kernel.filter(|pair| !kernels.contains(pair)));
    }
    kernels
}

/// Patterns in order of first use. Two patterns are equal if title and cells are.
pub fn distinct_patterns(layers: &[LayerSummary]) -> Vec<&PatternMask> {
    let mut patterns: Vec<&PatternMask> = Vec::new();
    for pattern in layers.iter().filter_map(|layer| layer.pattern.as_ref()) {
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    patterns
}

/// Draws the visible cells as one SVG path, with one rectangle for each run of cells in a row.
///
/// Coordinates are in cells: x is the key, y the query. A run of adjacent cells is one rectangle, which keeps the
/// path short and free of seams. Takes O(size²).
pub fn draw_pattern(pattern: &PatternMask) -> PatternView {
    let mut d = String::new();
    let mut visible = 0;
    for query in 0..pattern.size {
        let row: Vec<(usize, bool)> = (0..pattern.size).map(|key| (key, pattern.is_visible(query, key))).collect();
        for run in row.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1) {
            let key = run[0].0;
            let length = run.len();
            let _ = write!(d, "M{key} {query}h{length}v1h-{length}z");
            visible += length;
        }
    }
    let share = visible as f64 / (pattern.size * pattern.size).max(1) as f64;
    PatternView { title: pattern.title.clone(), size: pattern.size, d, visible_share: format_percent(share) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(title: &str, size: usize, sees: impl Fn(usize, usize) -> bool) -> PatternMask {
        let cells = (0..size * size).map(|at| u8::from(sees(at / size, at % size))).collect();
        PatternMask { size, cells, title: title.into() }
    }

    #[test]
    fn visible_cells_are_drawn_in_pieces() {
        let view = draw_pattern(&pattern("causal", 3, |query, key| key <= query && (query, key) != (2, 1)));
        assert_eq!(view.d, "M0 0h1v1h-1zM0 1h2v1h-2zM0 2h1v1h-1zM2 2h1v1h-1z");
        assert_eq!(view.visible_share, "56 %");
    }

    #[test]
    fn copies_of_a_layer_are_added_up() {
        let layer = |path: String| LayerSummary {
            path,
            parameters: 100,
            pattern: Some(pattern("all", 2, |_, _| true)),
            ..LayerSummary::default()
        };
        let layers: Vec<_> =
            (0..4).map(|n| layer(format!("blocks.{n}.attention"))).chain([layer("head".into())]).collect();
        let view = view(&ModelSummary { total_parameters: 500, layers, ..ModelSummary::default() });
        let block = &view.groups[0];
        assert_eq!(
            (block.name.as_str(), block.repeats, block.blocks[0][0].costs.parameters.as_str()),
            ("blocks 0–3", 4, "400")
        );
        assert_eq!(
            (block.blocks[0][0].costs.share.as_str(), view.patterns.len(), view.totals.parameters.as_str()),
            ("80 %", 1, "500")
        );
    }

    #[test]
    fn missing_cells_are_hidden() {
        let view = draw_pattern(&PatternMask { size: 3, cells: vec![1], title: String::new() });
        assert_eq!(view.d, "M0 0h1v1h-1z");
    }
}
