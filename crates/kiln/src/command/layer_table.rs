//! The tables of `kiln inspect`: layers with their costs, kernels, and attention patterns.
//!
//! Equal consecutive blocks are one group, as on the report page, so that a model of thirty equal blocks is as long as a
//! model of one. Lines have at most 80 characters unless a single name or description is longer.

use super::{inspect::F32_BYTES, model_summary, table::format_table};
use crate::page::{
    ModelSummary,
    model_view::{self, Costs, LayerView, distinct_patterns, format_nonzero},
    number_format::format_bytes,
};
use kiln_models::Model;
use std::fmt::Write;

/// Costs of each layer: a line of numbers, and below it the description.
///
/// The values of a repeated block are totals over all copies.
pub fn layer_table(summary: &ModelSummary) -> String {
    let view = model_view::view(summary);
    let mut rows = Vec::new();
    let mut descriptions = Vec::new();
    for group in &view.groups {
        if !group.name.is_empty() {
            let repeats = if group.repeats > 1 { format!("{} × ", group.repeats) } else { String::new() };
            rows.push(vec![format!("{repeats}{}", group.name)]);
            descriptions.push(String::new());
        }
        let indent = if group.name.is_empty() { "" } else { "  " };
        for layer in group.blocks.iter().flatten() {
            rows.push(cost_row(format!("{indent}{}", layer.name), layer.parameters, &layer.costs));
            descriptions.push(format!("{indent}  {}", describe(layer)));
        }
    }
    rows.push(cost_row("total".into(), summary.total_parameters, &view.totals));
    descriptions.push(String::new());
    let table =
        format_table(&["layer", "parameters", "memory (f32)", "FLOPs/token", "state/token"], &rows, &[1, 2, 3, 4]);
    interleave(&table, &descriptions)
}

/// Name, parameters, memory in f32, FLOPs per token and bytes of state per token.
fn cost_row(name: String, parameters: u64, costs: &Costs) -> Vec<String> {
    let memory = format_nonzero((F32_BYTES * parameters) as f64, format_bytes);
    vec![name, costs.parameters.clone(), memory, costs.flops.clone(), costs.state.clone()]
}

/// The description of a layer, with the number of its attention pattern.
fn describe(layer: &LayerView) -> String {
    let pattern = layer.pattern.map(|number| format!(" · pattern {number}"));
    format!("{}{}", layer.title, pattern.unwrap_or_default())
}

/// The lines of a table, each followed by its description if it has one. The heading has none.
fn interleave(table: &str, descriptions: &[String]) -> String {
    let mut text = String::new();
    let descriptions = std::iter::once("").chain(descriptions.iter().map(String::as_str));
    for (line, description) in table.lines().zip(descriptions) {
        let _ = writeln!(text, "{line}");
        if !description.is_empty() {
            let _ = writeln!(text, "{description}");
        }
    }
    text.trim_end().to_string()
}

/// The kernels of the layers that have a choice, each with its reason, for training and for inference. Empty if no layer
/// has a choice.
pub fn kernel_reasons(model: &Model) -> String {
    let encoder = model.encoder().map_or(&[][..], |encoder| encoder.blocks());
    let parts = [encoder, model.blocks()].into_iter().flatten().flat_map(|block| block.parts());
    let mut lines: Vec<String> = Vec::new();
    for (role, part) in parts {
        for (phase, with_gradients) in [("training", true), ("inference", false)] {
            let Some(plan) = part.plan(with_gradients) else { continue };
            let line = format!("{role}, {phase}: {} kernel, because {}", plan.kernel.name(), plan.reason);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines.join("\n")
}

/// Each different attention pattern once, with its number in the layer table.
///
/// A pattern that depends on the sequence length is drawn for 32 tokens.
pub fn draw_patterns(summary: &ModelSummary) -> String {
    let drawings = distinct_patterns(&summary.layers).into_iter().enumerate().map(|(index, pattern)| {
        let (number, size, title) = (index + 1, pattern.size, &pattern.title);
        let mut lines = vec![format!("pattern {number}: {title}; {size} tokens, rows are queries, columns are keys")];
        lines.extend(model_summary::draw_pattern(pattern).into_iter().map(|line| format!("  {line}")));
        lines.join("\n")
    });
    drawings.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kiln_models::ModelConfig;

    #[test]
    fn equal_blocks_are_shown_once_within_eighty_columns() {
        let config = ModelConfig { vocab: 50, hidden: 16, ..ModelConfig::default() };
        let model = Model::init(&config, 0, &Device::flex());
        let summary = model_summary::summarize(&model, 32, 8);
        let table = layer_table(&summary);
        assert!(model.blocks().len() > 1 && table.matches("  attention").count() == 1, "{table}");
        assert!(
            table.contains(&format!("{0} × blocks 0–{1}\n", model.blocks().len(), model.blocks().len() - 1)),
            "{table}"
        );
        assert!(
            table.contains("pattern 1") && draw_patterns(&summary).starts_with("pattern 1: causal; 8 tokens"),
            "{table}"
        );
        let text = [table, kernel_reasons(&model), draw_patterns(&summary)].join("\n");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
