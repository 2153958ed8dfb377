//! Layers, costs and attention patterns of a model, for tables and pages.
//!
//! Costs come from the model's parts ([`Part::cost`]): floating-point operations of the forward pass and bytes of decode state,
//! both per token at a given sequence length, because the cost of attention depends on it.

use crate::page::{LayerSummary, ModelSummary, PatternMask};
use burn::module::Module;
use kiln_models::{Block, Model, ModelConfig, Visibility, named_parameters};
use kiln_nn::{head::HeadConfig, part::Part};
use kiln_spec::{DocumentSpan, Layout, Pattern, plan::dense_mask};

/// Summary of a model. Costs are for sequences of `length` tokens; attention patterns are drawn for `pattern_size`
/// tokens. Needs no weight values.
///
/// The sum of the layers' parameters is the total: every parameter belongs to one layer.
pub fn summarize(model: &Model, length: usize, pattern_size: usize) -> ModelSummary {
    let config = model.config();
    let counts = ParameterCounts::from_model(model);
    let sizes = Sizes { length, pattern_size };
    let width = config.embedding.table_width(config.hidden);
    let mut layers = vec![counts.layer("embedding", &format!("{} tokens × {width}", config.vocab))];
    layers.extend(counts.optional_layer("embedded", "token types, norm and projection of the embedding"));
    layers.extend(counts.optional_layer("position", config.position.name()));
    if let Some((encoder, encoder_config)) = model.encoder().zip(config.encoder_model_config()) {
        layers.extend(counts.optional_layer("encoder.position", encoder_config.position.name()));
        layers.extend(block_layers("encoder.", encoder.blocks(), &encoder_config, sizes));
        layers.extend(counts.optional_layer("encoder.norm", encoder_config.norm.name()));
    }
    layers.extend(block_layers("", model.blocks(), config, sizes));
    for layer in layers.iter_mut().filter(|layer| layer.path.contains("blocks.")) {
        layer.parameters = counts.count_under(&layer.path);
    }
    layers.extend(counts.optional_layer("norm", config.norm.name()));
    layers.push(head_layer(config, &counts));
    ModelSummary {
        stack: describe_stack(config),
        hidden: config.hidden as u64,
        vocab: config.vocab as u64,
        total_parameters: model.num_params() as u64,
        layers,
    }
}

/// The stack, and the number of its residual streams if it has several.
fn describe_stack(config: &ModelConfig) -> String {
    match config.residual_streams.count() {
        1 => config.stack.name().into(),
        streams => format!("{}, {streams} residual streams", config.stack.name()),
    }
}

/// Number of tokens for the costs and for the drawn patterns.
#[derive(Clone, Copy)]
struct Sizes {
    length: usize,
    pattern_size: usize,
}

/// The layers of a stack's blocks, without their parameter counts.
fn block_layers(prefix: &str, blocks: &[Block], config: &ModelConfig, sizes: Sizes) -> Vec<LayerSummary> {
    let mut layers = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        for (role, part) in block.parts() {
            layers.push(part_layer(&format!("{prefix}blocks.{index}.{role}"), part, config, sizes));
        }
    }
    layers
}

/// Number of values of each parameter, by name.
struct ParameterCounts(Vec<(String, u64)>);

impl ParameterCounts {
    /// Counts all parameters, trainable or not.
    fn from_model(model: &Model) -> Self {
        let parameters = named_parameters(model).into_iter();
        Self(parameters.map(|p| (p.path, p.shape.iter().product::<usize>() as u64)).collect())
    }

    /// Number of values of the parameters at `path`, below it, of the norm before it (`path` + `_norm`) and of its residual
    /// connection (`path` + `_streams`).
    fn count_under(&self, path: &str) -> u64 {
        let prefixes = ["", "_norm", "_streams"].map(|end| format!("{path}{end}."));
        let is_under = |name: &str| name == path || prefixes.iter().any(|prefix| name.starts_with(prefix));
        self.0.iter().filter(|(name, _)| is_under(name)).map(|(_, count)| count).sum()
    }

    /// A layer outside the blocks.
    fn layer(&self, path: &str, title: &str) -> LayerSummary {
        let parameters = self.count_under(path);
        LayerSummary { path: path.into(), title: title.into(), parameters, ..LayerSummary::default() }
    }

    /// A layer outside the blocks, if it has parameters.
    fn optional_layer(&self, path: &str, title: &str) -> Option<LayerSummary> {
        Some(self.layer(path, title)).filter(|layer| layer.parameters > 0)
    }
}

/// The output head. A tied head has no parameters of its own, but the same operations.
fn head_layer(config: &ModelConfig, counts: &ParameterCounts) -> LayerSummary {
    let layer = counts.layer("head", config.head.name());
    if config.head.pooling().is_some() {
        // A pooled head runs once per document.
        return layer;
    }
    let HeadConfig::Language(head) = &config.head else { return layer };
    let tied = if head.tied { ", tied to the embedding" } else { "" };
    // One multiplication and one addition per weight.
    let flops_per_token = 2.0 * (config.vocab * head.width.unwrap_or(config.hidden)) as f64;
    LayerSummary { title: format!("{}{tied}", layer.title), flops_per_token, ..layer }
}

/// A part of a block. `kernel` is that of the training, which may differ from that of inference.
fn part_layer(path: &str, part: &Part, config: &ModelConfig, sizes: Sizes) -> LayerSummary {
    let cost = part.cost(sizes.length);
    let plan = part.plan(true);
    let pattern = part.pattern();
    LayerSummary {
        path: path.into(),
        title: part.describe(),
        flops_per_token: cost.flops,
        state_bytes_per_token: cost.state_bytes,
        kernel: plan.as_ref().map(|plan| plan.kernel.name().into()),
        kernel_reason: plan.map(|plan| plan.reason),
        pattern: pattern.map(|pattern| pattern_mask(pattern, config.effective_visibility(), sizes.pattern_size)),
        ..LayerSummary::default()
    }
}

/// Attention mask of a pattern over one document of `size` tokens. With prefix visibility, the first third is the prefix.
fn pattern_mask(pattern: &Pattern, visibility: Visibility, size: usize) -> PatternMask {
    let document = DocumentSpan { length: size, start: 0, direction: visibility.direction(size / 3) };
    let layout = Layout::packed(&[vec![document]], size);
    let direction = visibility.name();
    let is_global = matches!(pattern, Pattern::Global(_));
    let title = if is_global { direction.to_string() } else { format!("{direction}, {pattern}") };
    row_mask(pattern, &layout, title)
}

/// Attention mask of the first sequence of a batch under full attention.
pub fn layout_mask(layout: &Layout) -> PatternMask {
    row_mask(&Pattern::default(), layout, "attention mask: rows are queries, columns are keys".into())
}

/// Combines the pattern of a layer with the direction and the documents of the layout.
fn row_mask(pattern: &Pattern, layout: &Layout, title: String) -> PatternMask {
    let row = layout.row(0);
    let mask = dense_mask(&pattern.visibility_formula(), row, row);
    PatternMask { size: layout.sequence_length(), cells: mask.into_iter().map(u8::from).collect(), title }
}

/// An attention mask in characters, two queries per line.
///
/// `█` both queries see the key, `▀` the upper one, `▄` the lower one, `·` none.
pub fn draw_pattern(pattern: &PatternMask) -> Vec<String> {
    let mut lines = Vec::new();
    for query in (0..pattern.size).step_by(2) {
        let cells = (0..pattern.size).map(|key| match [query, query + 1].map(|query| pattern.is_visible(query, key)) {
            [true, true] => '█',
            [true, false] => '▀',
            [false, true] => '▄',
            [false, false] => '·',
        });
        lines.push(cells.collect());
    }
    lines
}

/// The mask with every `step`-th query and key, so that it has at most `max_size` of each.
pub fn thin_pattern(pattern: &PatternMask, max_size: usize) -> PatternMask {
    let step = pattern.size.div_ceil(max_size.max(1)).max(1);
    if step == 1 {
        return pattern.clone();
    }
    let kept = || (0..pattern.size).step_by(step);
    let cells = kept().flat_map(|query| kept().map(move |key| u8::from(pattern.is_visible(query, key))));
    let title = format!("{}; one token in {step} is drawn", pattern.title);
    PatternMask { size: kept().count(), cells: cells.collect(), title }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn every_parameter_is_in_one_layer() {
        let config = ModelConfig { vocab: 50, hidden: 16, ..ModelConfig::default() };
        let summary = summarize(&Model::init(&config, 0, &Device::flex()), 32, 8);
        assert_eq!(summary.layers.iter().map(|layer| layer.parameters).sum::<u64>(), summary.total_parameters);
        let attention = summary.layers.iter().find(|layer| layer.path == "blocks.1.attention").unwrap();
        assert!(attention.flops_per_token > 0.0 && attention.state_bytes_per_token > 0.0 && attention.kernel.is_some());
    }

    #[test]
    fn a_large_mask_is_thinned() {
        let mask = pattern_mask(&Pattern::default(), Visibility::Causal, 11);
        let thin = thin_pattern(&mask, 4);
        assert_eq!(draw_pattern(&thin), ["█▄··", "███▄"]);
        assert!(thin.title.ends_with("one token in 3 is drawn"), "{}", thin.title);
        assert_eq!(thin_pattern(&mask, 11).size, 11);
    }

    #[test]
    fn a_window_is_drawn_as_one() {
        let mask = pattern_mask(&Pattern::window(1, 0), Visibility::Causal, 4);
        assert_eq!(draw_pattern(&mask), ["█▄··", "·▀█▄"]);
        assert_eq!(mask.title, "causal, window of 1 before, 0 after");
    }
}
