//! What a run came to, in a few lines.

use super::{ascii_chart, metrics_summary::MetricsSummary, metrics_text, table::format_pairs};
use crate::page::number_format::{format_count, format_duration, format_percent};
use kiln_train::{metrics::MetricsRow, run_folder::RunPaths};
use std::path::Path;

/// The summary of the run at `path`.
pub fn render(path: &Path, history: &MetricsSummary, rows: &[MetricsRow]) -> String {
    let mut lines = vec![("trained", training_summary(history))];
    lines.extend(history.train_loss.map(|loss| ("loss", format!("{loss:.3} nats a token at the end of training"))));
    lines.extend(
        history
            .last_validation
            .as_ref()
            .map(|row| ("held out", format!("{:.3} nats a token, {:.3} bits a byte", row.loss, row.bits_per_byte))),
    );
    lines.extend(
        history
            .validation_loss()
            .zip(history.floor())
            .map(|(loss, floor)| ("floor", metrics_text::format_above_floor(loss, floor))),
    );
    lines.extend(
        history
            .accuracy_by_kind()
            .map(metrics_text::format_kinds)
            .filter(|kinds| !kinds.is_empty())
            .map(|kinds| ("right", kinds)),
    );
    lines.extend(
        history
            .acceptance_rate()
            .map(|share| ("accepted", format!("{} of the sampled sentences", format_percent(share)))),
    );
    lines.extend(history.compression.as_ref().map(|row| {
        (
            "bits a byte",
            format!(
                "{:.3} beside gzip {:.3}, xz {:.3}, zstd {:.3} on {} of held-out text",
                row.model_bits_per_byte,
                row.gzip,
                row.xz,
                row.zstd,
                crate::page::number_format::format_bytes(row.text_bytes as f64)
            ),
        )
    }));
    lines.push(("run", path.display().to_string()));
    lines.extend(report_path(path).map(|report| ("report", report)));
    let text = format_pairs(&lines);
    match ascii_chart::loss_chart(rows, 72, 9) {
        Some(curve) => format!("{curve}\n\n{text}"),
        None => text,
    }
}

fn training_summary(history: &MetricsSummary) -> String {
    let speed = history
        .tokens_per_second()
        .map_or(String::new(), |speed| format!(", {} tokens/s", format_count(speed.round())));
    let (steps, tokens) = (history.steps(), format_count(history.tokens() as f64));
    format!("{steps} steps on {tokens} tokens in {}{speed}", format_duration(history.seconds()))
}

fn report_path(path: &Path) -> Option<String> {
    let report = RunPaths::open(path).ok()?.report();
    report.is_file().then(|| report.display().to_string())
}
