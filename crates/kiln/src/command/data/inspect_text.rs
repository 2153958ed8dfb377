//! Text of `kiln data inspect`: counts, a histogram, examples, and what is left out.

use super::{super::color::TextStyle, inspect::Findings};
use kiln_data::{
    ExampleKind,
    dataset::{Inspection, Sample, SampleSequence},
};

/// Width of the longest bar of the histogram, in characters.
const BAR_WIDTH: usize = 50;
/// Eighths of a character, for the end of a bar.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The whole text.
pub fn render(findings: &Findings) -> String {
    let style = TextStyle::for_stdout();
    let found = &findings.inspection;
    let mut blocks = vec![counts(findings)];
    blocks.push(format!("{}\n{}", style.bold("Lengths"), histogram(found)));
    let legend = match (found.kind, style.has_color()) {
        (ExampleKind::Pair, _) => "no token has a loss weight: the objective compares the texts",
        (_, true) => "trained tokens are green",
        (_, false) => "trained tokens are in [[…]]",
    };
    blocks.push(format!("{} ({legend})", style.bold("Examples")));
    blocks.extend(found.samples.iter().enumerate().map(|(i, sample)| example(i + 1, sample, found.kind, style)));
    blocks.push(format!("{}\n{}", style.bold("Left out"), left_out(findings)));
    blocks.join("\n\n")
}

/// Format, examples and tokens.
fn counts(findings: &Findings) -> String {
    let found = &findings.inspection;
    let mut lines: Vec<String> = findings.summaries.clone();
    lines.extend(findings.summary.clone());
    let sequences = match found.num_sequences == found.num_groups {
        true => String::new(),
        false => format!(" of {} sequences", found.num_sequences),
    };
    lines.push(format!("{} {}{sequences}, {} tokens", found.num_groups, found.kind.name(), found.num_tokens));
    if found.kind != ExampleKind::Pair {
        let share = 100.0 * found.num_trained_tokens as f64 / found.num_tokens.max(1) as f64;
        lines.push(format!("{} tokens are trained ({share:.1} %)", found.num_trained_tokens));
    }
    lines.push(format!("unit: {}", findings.tokenizer));
    lines.join("\n")
}

/// Quantiles, and a bar for each range of lengths.
fn histogram(found: &Inspection) -> String {
    let quantiles = [("min", 0.0), ("median", 0.5), ("95 %", 0.95), ("max", 1.0)];
    let quantiles = quantiles.map(|(name, quantile)| format!("{name} {}", found.length_quantile(quantile)));
    let bins = found.histogram();
    let greatest = bins.iter().map(|bin| bin.count).max().unwrap_or(1).max(1);
    let width = bins.last().map_or(1, |bin| bin.to.to_string().len());
    let lines = bins.iter().map(|bin| {
        let eighths = (bin.count * BAR_WIDTH * 8).div_ceil(greatest);
        let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
        format!("{:>width$}–{:<width$} │{bar} {}", bin.from, bin.to, bin.count)
    });
    [quantiles.join(", ")].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// An example with its sequences.
fn example(number: usize, sample: &Sample, kind: ExampleKind, style: TextStyle) -> String {
    let sequences = sample.sequences.iter().enumerate().map(|(member, sequence)| {
        let name = match (kind, member) {
            (ExampleKind::Preference, 0) => "chosen, ",
            (ExampleKind::Preference, _) => "rejected, ",
            (ExampleKind::Pair, 0) => "anchor, ",
            (ExampleKind::Pair, 1) => "positive, ",
            (ExampleKind::Pair, _) => "negative, ",
            _ => "",
        };
        let title = style.bold(&format!("{number}: {name}{} tokens", sequence.num_tokens));
        format!("{title}\n{}", text(sequence, style))
    });
    sequences.collect::<Vec<_>>().join("\n")
}

/// The text of a sequence, with what is trained in color or between brackets.
fn text(sequence: &SampleSequence, style: TextStyle) -> String {
    let pieces = sequence.pieces.iter().map(|(text, is_trained)| match (is_trained, style.has_color()) {
        (false, _) => text.clone(),
        (true, true) => style.target(text),
        (true, false) => format!("[[{text}]]"),
    });
    let hidden = match sequence.num_hidden {
        0 => String::new(),
        hidden => format!(" … {hidden} more tokens"),
    };
    pieces.collect::<String>() + &hidden
}

/// Bad rows, examples without an answer, examples that are too long.
fn left_out(findings: &Findings) -> String {
    let mut lines = Vec::new();
    for (omitted, reason) in [(&findings.bad_rows, "bad rows"), (&findings.without_answer, "without an answer")] {
        if omitted.count > 0 {
            lines.push(format!("{} {reason}:{omitted}", omitted.count));
        }
    }
    if let Some((length, count)) = findings.too_long.filter(|(_, count)| *count > 0) {
        lines.push(format!("{count} longer than a row of {length} tokens"));
    }
    if lines.is_empty() { "nothing".into() } else { lines.join("\n") }
}
