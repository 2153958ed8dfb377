//! What a run came to, in a few lines.

use super::{curve, history::History, line, table::pairs};
use crate::page::number::{count, duration, percent};
use kiln_train::{folder::RunPaths, metrics::Row};
use std::path::Path;

/// The summary of the run at `path`.
pub fn of(path: &Path, history: &History, rows: &[Row]) -> String {
    let mut lines = vec![("trained", trained(history))];
    lines.extend(history.train_loss.map(|loss| ("loss", format!("{loss:.3} nats a token at the end of training"))));
    lines.extend(
        history
            .validation
            .as_ref()
            .map(|row| ("held out", format!("{:.3} nats a token, {:.3} bits a byte", row.loss, row.bits_per_byte))),
    );
    lines.extend(
        history.validation_loss().zip(history.floor()).map(|(loss, floor)| ("floor", line::above(loss, floor))),
    );
    lines.extend(history.kinds().map(line::kinds).filter(|kinds| !kinds.is_empty()).map(|kinds| ("right", kinds)));
    lines.extend(history.accepted().map(|share| ("accepted", format!("{} of the sampled sentences", percent(share)))));
    lines.extend(history.compression.as_ref().map(|row| {
        (
            "bits a byte",
            format!(
                "{:.3} beside gzip {:.3}, xz {:.3}, zstd {:.3} on {} of held-out text",
                row.model_bits_per_byte,
                row.gzip,
                row.xz,
                row.zstd,
                crate::page::number::bytes(row.bytes as f64)
            ),
        )
    }));
    lines.push(("run", path.display().to_string()));
    lines.extend(report(path).map(|report| ("report", report)));
    let text = pairs(&lines);
    match curve::losses(rows, 72, 9) {
        Some(curve) => format!("{curve}\n\n{text}"),
        None => text,
    }
}

fn trained(history: &History) -> String {
    let speed =
        history.tokens_per_second().map_or(String::new(), |speed| format!(", {} tokens/s", count(speed.round())));
    let (steps, tokens) = (history.steps(), count(history.tokens() as f64));
    format!("{steps} steps on {tokens} tokens in {}{speed}", duration(history.seconds()))
}

fn report(path: &Path) -> Option<String> {
    let report = RunPaths::open(path).ok()?.report();
    report.is_file().then(|| report.display().to_string())
}
