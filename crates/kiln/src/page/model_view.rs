//! The model as a column of layers, with what each costs, and the patterns of its layers as little tables.

use std::fmt::Write;

use serde::Serialize;

use super::blocks::{Block, RepeatedBlocks, find_repeats, layer_role};
use super::data::{LayerSummary, ModelSummary, PatternMask};
use super::number_format::{format_bytes, format_count, format_percent};

/// A model, ready for the template.
#[derive(Debug, Serialize)]
pub struct ModelView {
    title: String,
    parameters: String,
    /// Parameters of the layer that, with its copies, holds most.
    max_parameters: u64,
    groups: Vec<BlockGroup>,
    patterns: Vec<PatternView>,
    totals: Costs,
    kernels: Vec<(String, String)>,
}

/// A block, blocks that repeat, or a layer outside of them.
#[derive(Debug, Serialize)]
struct BlockGroup {
    /// As `blocks 0–5`; empty outside of blocks.
    name: String,
    repeats: usize,
    rows: usize,
    blocks: Vec<Vec<LayerView>>,
}

#[derive(Debug, Serialize)]
struct LayerView {
    name: String,
    title: String,
    costs: Costs,
    /// Parameters of all copies of this layer.
    parameters: u64,
    kernel: String,
    /// Number of its pattern, from 1.
    pattern: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Costs {
    parameters: String,
    share: String,
    flops: String,
    state: String,
}

/// A pattern, ready to be drawn.
#[derive(Debug, Serialize)]
pub struct PatternView {
    title: String,
    size: usize,
    d: String,
    visible_share: String,
}

/// Finds what repeats, adds up, and draws each pattern once.
pub fn view(model: &ModelSummary) -> ModelView {
    let patterns = distinct_patterns(&model.layers);
    let total = model.total_parameters;
    let parts: Vec<BlockGroup> =
        find_repeats(&model.layers).iter().map(|repeat| block_group(repeat, total, &patterns)).collect();
    ModelView {
        title: model_title(model),
        parameters: format_count(total as f64),
        max_parameters: parts
            .iter()
            .flat_map(|p| p.blocks.iter().flatten())
            .map(|layer| layer.parameters)
            .max()
            .unwrap_or(0)
            .max(1),
        groups: parts,
        patterns: patterns.iter().copied().map(draw_pattern).collect(),
        totals: total_costs(model.layers.iter(), total),
        kernels: distinct_kernels(&model.layers),
    }
}

fn model_title(model: &ModelSummary) -> String {
    let named = |name, value: u64| (value > 0).then(|| format!("{name} {value}"));
    let stack = (!model.stack.is_empty()).then(|| model.stack.clone());
    let facts = [stack, named("hidden", model.hidden), named("vocabulary", model.vocab)];
    facts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn block_group(repeat: &RepeatedBlocks, total: u64, patterns: &[&PatternMask]) -> BlockGroup {
    let copies = |nth: usize, layer: usize| {
        let same = repeat.blocks.iter().skip(nth).step_by(repeat.period);
        same.filter_map(move |block| block.layers.get(layer))
    };
    let block = |nth: usize| -> Vec<LayerView> {
        let layers = repeat.blocks[nth].layers.iter().enumerate();
        layers.map(|(at, layer)| layer_view(layer, copies(nth, at), total, patterns)).collect()
    };
    let blocks: Vec<_> = (0..repeat.period).map(block).collect();
    BlockGroup {
        name: group_name(&repeat.blocks),
        repeats: repeat.count,
        rows: blocks.iter().map(Vec::len).sum(),
        blocks,
    }
}

fn group_name(blocks: &[Block]) -> String {
    let places = blocks.first().and_then(|b| b.location).zip(blocks.last().and_then(|b| b.location));
    match places {
        Some(((stem, first), (_, last))) if first != last => format!("{stem} {first}–{last}"),
        Some(((stem, only), _)) => format!("{stem} {only}"),
        None => String::new(),
    }
}

fn layer_view<'a>(
    layer: &LayerSummary,
    copies: impl Iterator<Item = &'a LayerSummary> + Clone,
    total: u64,
    patterns: &[&PatternMask],
) -> LayerView {
    let same = |pattern: &PatternMask| patterns.iter().position(|other| *other == pattern);
    LayerView {
        name: layer_role(&layer.path).into(),
        title: layer.title.clone(),
        parameters: copies.clone().map(|layer| layer.parameters).sum(),
        costs: total_costs(copies, total),
        kernel: layer.kernel.clone().unwrap_or_default(),
        pattern: layer.pattern.as_ref().and_then(same).map(|at| at + 1),
    }
}

fn total_costs<'a>(layers: impl Iterator<Item = &'a LayerSummary> + Clone, total: u64) -> Costs {
    let sum = |value: fn(&LayerSummary) -> f64| layers.clone().map(value).sum::<f64>();
    let unless_zero = |value: f64, text: fn(f64) -> String| if value == 0.0 { "–".into() } else { text(value) };
    let parameters = sum(|layer| layer.parameters as f64);
    Costs {
        parameters: unless_zero(parameters, format_count),
        share: unless_zero(parameters / total.max(1) as f64, format_percent),
        flops: unless_zero(sum(|layer| layer.flops_per_token), format_count),
        state: unless_zero(sum(|layer| layer.state_bytes_per_token), format_bytes),
    }
}

fn distinct_kernels(layers: &[LayerSummary]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for layer in layers {
        let pair = layer.kernel.clone().zip(layer.kernel_reason.clone());
        found.extend(pair.filter(|pair| !found.contains(pair)));
    }
    found
}

fn distinct_patterns(layers: &[LayerSummary]) -> Vec<&PatternMask> {
    let mut found: Vec<&PatternMask> = Vec::new();
    for pattern in layers.iter().filter_map(|layer| layer.pattern.as_ref()) {
        if !found.contains(&pattern) {
            found.push(pattern);
        }
    }
    found
}

/// One path of all visible cells, those beside each other in one piece.
pub fn draw_pattern(pattern: &PatternMask) -> PatternView {
    let mut d = String::new();
    let mut seen = 0;
    for query in 0..pattern.size {
        let row: Vec<(usize, bool)> = (0..pattern.size).map(|key| (key, pattern.is_visible(query, key))).collect();
        for run in row.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1) {
            let (key, length) = (run[0].0, run.len());
            let _ = write!(d, "M{key} {query}h{length}v1h-{length}z");
            seen += length;
        }
    }
    let share = seen as f64 / (pattern.size * pattern.size).max(1) as f64;
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
