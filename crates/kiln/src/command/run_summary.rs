//! The summary that `kiln train` prints at the end of a run: loss chart and metrics.

use super::{
    ascii_chart,
    metrics_summary::MetricsSummary,
    metrics_text,
    objective_metrics::{in_order, loss_unit, metric_descriptions},
    table::format_pairs,
};
use crate::page::number_format::{format_bytes, format_count, format_duration, format_percent, loss_label};
use kiln_train::{
    metrics::{CompressionMetrics, MetricsRow, ValidationMetrics},
    run,
    run_folder::RunPaths,
};
use std::path::Path;

/// Width and height of the loss chart, in characters.
const CHART_SIZE: (usize, usize) = (70, 9);

/// Summary of the run at `path`. Metrics that the run does not have are left out.
///
/// The chart is missing for runs of fewer than two steps.
pub fn render(path: &Path, summary: &MetricsSummary, rows: &[MetricsRow]) -> String {
    let recipe = RunPaths::open(path).ok().and_then(|paths| run::load_recipe(&paths).ok()).unwrap_or_default();
    let unit = loss_label(recipe.stages.last().map_or("", loss_unit));
    let validation = summary.last_validation.as_ref().map(|row| format_validation(row, &unit));
    let metrics = summary.metrics();
    let metrics = in_order(&metrics, &metric_descriptions(&recipe));
    let floor = summary.validation_loss().zip(summary.floor());
    let kinds = summary.accuracy_by_kind().map(metrics_text::format_kinds).filter(|kinds| !kinds.is_empty());
    let lines = [
        ("training", Some(format_training(summary))),
        ("ended", summary.early_end.clone()),
        ("training loss", summary.train_loss.map(|loss| format!("{loss:.3} {unit} at the end"))),
        ("validation loss", validation),
        ("floor", floor.map(|(loss, floor)| metrics_text::format_above_floor(loss, floor))),
        ("accuracy", kinds),
        (
            "accepted",
            summary.acceptance_rate().map(|share| format!("{} of the sampled sentences", format_percent(share))),
        ),
        ("bits per byte", summary.compression.as_ref().map(format_compression)),
        ("run folder", Some(path.display().to_string())),
        ("report", report_path(path)),
    ];
    let mut lines: Vec<(&str, String)> = lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let names: Vec<String> = metrics.iter().map(|(name, _)| name.replace('_', " ")).collect();
    let values = metrics.iter().map(|(_, metric)| metrics_text::format_value(metric));
    let position = lines.iter().position(|(name, _)| *name == "validation loss").map_or(lines.len(), |index| index + 1);
    lines.splice(position..position, names.iter().map(String::as_str).zip(values));
    let table = format_pairs(&lines);
    match ascii_chart::loss_chart(rows, &unit, CHART_SIZE) {
        Some(chart) => format!("{chart}\n\n{table}"),
        None => table,
    }
}

/// `1.934 nats per token, 0.806 bits per byte`, without the second part for an objective that predicts no text.
fn format_validation(row: &ValidationMetrics, unit: &str) -> String {
    let bits =
        if row.bits_per_byte.is_finite() { format!(", {:.3} bits per byte", row.bits_per_byte) } else { "".into() };
    format!("{:.3} {unit}{bits}", row.loss)
}

/// `720 steps, 2.21 M tokens, 2 min 58 s, 12.4 k tokens/s`.
fn format_training(summary: &MetricsSummary) -> String {
    let tokens = format_count(summary.tokens() as f64);
    let time = format_duration(summary.seconds());
    let speed = summary.tokens_per_second().map(|speed| format!(", {} tokens/s", format_count(speed.round())));
    format!("{} steps, {tokens} tokens, {time}{}", summary.steps(), speed.unwrap_or_default())
}

/// Bits per byte of the model, and of the compressors in parentheses.
fn format_compression(row: &CompressionMetrics) -> String {
    let CompressionMetrics { model_bits_per_byte, gzip, xz, zstd, .. } = row;
    let size = format_bytes(row.text_bytes as f64);
    format!("{model_bits_per_byte:.3} (gzip {gzip:.3}, xz {xz:.3}, zstd {zstd:.3}) on {size}")
}

/// `None` if the report was not written.
fn report_path(path: &Path) -> Option<String> {
    let report = RunPaths::open(path).ok()?.report();
    report.is_file().then(|| report.display().to_string())
}
