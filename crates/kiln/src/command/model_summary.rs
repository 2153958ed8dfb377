//! A model as something to look at: layers with their costs, and who sees whom in each.

use crate::page::{LayerSummary, ModelSummary, PatternMask};
use burn::module::Module;
use kiln_models::{Block, Model, ModelConfig, Visibility, named_parameters};
use kiln_nn::part::Part;
use kiln_spec::{DocumentSpan, Layout, Pattern, plan::dense_mask};

/// The picture of a model that works on sequences of `length` tokens; patterns are drawn over `size` tokens.
pub fn summarize(model: &Model, length: usize, size: usize) -> ModelSummary {
    let config = model.config();
    let counted = ParameterCounts::from_model(model);
    let mut layers = vec![layer_at("embedding", format!("{} tokens × {}", config.vocab, config.hidden), &counted)];
    layers.extend(optional_layer("position", config.position.name(), &counted));
    if let Some((encoder, as_encoder)) = model.encoder().zip(config.encoder_model_config()) {
        layers.extend(optional_layer("encoder.position", as_encoder.position.name(), &counted));
        layers.extend(block_layers("encoder.", encoder.blocks(), &as_encoder, length, size));
        layers.extend(optional_layer("encoder.norm", as_encoder.norm.name(), &counted));
    }
    layers.extend(block_layers("", model.blocks(), config, length, size));
    for layer in layers.iter_mut().filter(|layer| layer.path.contains("blocks.")) {
        layer.parameters = counted.count_under(&layer.path);
    }
    layers.extend(optional_layer("norm", config.norm.name(), &counted));
    layers.push(head_layer(config, &counted));
    let total_parameters = model.num_params() as u64;
    ModelSummary {
        stack: config.stack.name().into(),
        hidden: config.hidden as u64,
        vocab: config.vocab as u64,
        total_parameters,
        layers,
    }
}

fn block_layers(stack: &str, blocks: &[Block], config: &ModelConfig, length: usize, size: usize) -> Vec<LayerSummary> {
    let parts = blocks.iter().enumerate().flat_map(|(b, block)| block.parts().map(move |part| (b, part)));
    parts
        .map(|(b, (role, part))| part_layer(&format!("{stack}blocks.{b}.{role}"), part, config, length, size))
        .collect()
}

/// Numbers of each parameter by name.
struct ParameterCounts(Vec<(String, u64)>);

impl ParameterCounts {
    fn from_model(model: &Model) -> Self {
        let count = |name: kiln_models::NamedParameter| (name.path, name.shape.iter().product::<usize>() as u64);
        Self(named_parameters(model).into_iter().map(count).collect())
    }

    /// Numbers at `path` and below it, those of the norm before it included.
    fn count_under(&self, path: &str) -> u64 {
        let (inner, norm) = (format!("{path}."), format!("{path}_norm."));
        let fits = |name: &str| name == path || name.starts_with(&inner) || name.starts_with(&norm);
        self.0.iter().filter(|(name, _)| fits(name)).map(|(_, count)| count).sum()
    }
}

fn layer_at(path: &str, title: String, counted: &ParameterCounts) -> LayerSummary {
    LayerSummary { path: path.into(), title, parameters: counted.count_under(path), ..LayerSummary::default() }
}

/// A place outside of the blocks, if it has parameters.
fn optional_layer(path: &str, title: &str, counted: &ParameterCounts) -> Option<LayerSummary> {
    Some(layer_at(path, title.into(), counted)).filter(|layer| layer.parameters > 0)
}

fn head_layer(config: &ModelConfig, counted: &ParameterCounts) -> LayerSummary {
    let layer = layer_at("head", config.head.name().into(), counted);
    if config.head.pooling().is_some() {
        // Once a document.
        return layer;
    }
    let title = if layer.parameters == 0 { format!("{}, tied to the embedding", layer.title) } else { layer.title };
    // A multiplication and an addition for each weight.
    LayerSummary { title, flops_per_token: 2.0 * (config.vocab * config.hidden) as f64, ..layer }
}

fn part_layer(path: &str, part: &Part, config: &ModelConfig, length: usize, size: usize) -> LayerSummary {
    let (cost, plan) = (part.cost(length), part.plan(true));
    LayerSummary {
        path: path.into(),
        title: part.describe(),
        flops_per_token: cost.flops,
        state_bytes_per_token: cost.state_bytes,
        kernel: plan.as_ref().map(|plan| plan.kernel.name().into()),
        kernel_reason: plan.map(|plan| plan.reason),
        pattern: part.pattern().map(|pattern| pattern_mask(pattern, config.effective_visibility(), size)),
        ..LayerSummary::default()
    }
}

/// Who sees whom among `size` tokens of one document; of a prefix model, the first third is the prompt.
fn pattern_mask(pattern: &Pattern, visibility: Visibility, size: usize) -> PatternMask {
    let piece = DocumentSpan { length: size, start: 0, direction: visibility.direction(size / 3) };
    let layout = Layout::packed(&[vec![piece]], size);
    let cells =
        dense_mask(&pattern.visibility_formula(), layout.row(0), layout.row(0)).into_iter().map(u8::from).collect();
    let direction = format!("{visibility:?}").to_lowercase();
    let title = if matches!(pattern, Pattern::Global(_)) { direction } else { format!("{direction}, {pattern}") };
    PatternMask { size, cells, title }
}

/// Who sees whom in the first row of a batch, before any layer's geometry.
pub fn layout_mask(layout: &Layout) -> PatternMask {
    let (row, size) = (layout.row(0), layout.sequence_length());
    let cells = dense_mask(&Pattern::default().visibility_formula(), row, row).into_iter().map(u8::from).collect();
    PatternMask { size, cells, title: "who sees whom: rows look, columns are seen".into() }
}

/// A pattern in characters, two queries a line.
pub fn draw_pattern(pattern: &PatternMask) -> Vec<String> {
    let cell = |query, key| match (pattern.is_visible(query, key), pattern.is_visible(query + 1, key)) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => '·',
    };
    (0..pattern.size).step_by(2).map(|query| (0..pattern.size).map(|key| cell(query, key)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn every_parameter_is_in_one_layer() {
        let config = ModelConfig { vocab: 50, hidden: 16, ..ModelConfig::default() };
        let picture = summarize(&Model::init(&config, 0, &Device::flex()), 32, 8);
        assert_eq!(picture.layers.iter().map(|layer| layer.parameters).sum::<u64>(), picture.total_parameters);
        let attention = picture.layers.iter().find(|layer| layer.path == "blocks.1.attention").unwrap();
        assert!(attention.flops_per_token > 0.0 && attention.state_bytes_per_token > 0.0 && attention.kernel.is_some());
    }

    #[test]
    fn a_window_is_drawn_as_one() {
        let picture = pattern_mask(&Pattern::window(1, 0), Visibility::Causal, 4);
        assert_eq!(draw_pattern(&picture), ["█▄··", "·▀█▄"].map(|line| line.replace('x', "")));
        assert_eq!(picture.title, "causal, window of 1 before, 0 after");
    }
}
