//! The model of the made-up run, and an example of its objective.

use super::super::{ExampleToken, LayerSummary, ModelSummary, ObjectiveExample, PatternMask};

/// A mask of 48 × 48 cells; `is_visible` takes query and key.
fn pattern(title: &str, is_visible: impl Fn(usize, usize) -> bool) -> PatternMask {
    let cells = (0..48 * 48).map(|at| u8::from(is_visible(at / 48, at % 48))).collect();
    PatternMask { size: 48, cells, title: title.into() }
}

fn layer(path: &str, title: &str, parameters: u64, state: f64) -> LayerSummary {
    let flops_per_token = if path == "embedding" { 0.0 } else { 2.0 * parameters as f64 };
    LayerSummary {
        path: path.into(),
        title: title.into(),
        parameters,
        flops_per_token,
        state_bytes_per_token: state,
        ..LayerSummary::default()
    }
}

/// A decoder of six blocks; every third block has full attention, the others a window.
pub fn model() -> ModelSummary {
    let mut layers = vec![layer("embedding", "tokens, 1024 × 192", 196_608, 0.0)];
    for block in 0..6 {
        let (title, pattern, kernel, reason) = if block % 3 == 2 {
            (
                "4 heads, 2 kv, no position, global",
                pattern("causal", |q, k| k <= q),
                "fused",
                "causal, head 48, 2 threads: all tiles that are not empty",
            )
        } else {
            (
                "4 heads, 2 kv, rotary, window 64, 2 global tokens",
                pattern("causal, window 64, 2 global tokens", |q, k| k <= q && (q - k <= 12 || k < 2)),
                "fused tiles",
                "window of 64 leaves 38 % of the tiles",
            )
        };
        let attention = layer(&format!("blocks.{block}.attention"), title, 110_784, 768.0);
        layers.push(LayerSummary {
            pattern: Some(pattern),
            kernel: Some(kernel.into()),
            kernel_reason: Some(reason.into()),
            ..attention
        });
        layers.push(layer(&format!("blocks.{block}.gated"), "SwiGLU, 512 wide", 295_104, 0.0));
    }
    layers.push(layer("norm", "RMSNorm", 192, 0.0));
    layers.push(layer("head", "tied to the embedding", 0, 0.0));
    let total_parameters = layers.iter().map(|layer| layer.parameters).sum();
    ModelSummary { stack: "decoder".into(), hidden: 192, vocab: 1024, total_parameters, layers }
}

/// Inputs and targets of the masked objective.
pub fn example() -> ObjectiveExample {
    let inputs = ["<bos>", "The", " old", " <mask>", " keeps", " a", " <mask>", "."];
    let targets = [None, None, None, Some(" ferryman"), None, None, Some(" lantern"), None];
    let tokens = inputs.into_iter().zip(targets).map(|(input, target)| ExampleToken {
        input: input.into(),
        target: target.map(Into::into),
        is_masked: target.is_some(),
        ..ExampleToken::default()
    });
    ObjectiveExample {
        title: "A fifth of the tokens is masked; the loss is computed there.".into(),
        tokens: tokens.collect(),
        pattern: Some(PatternMask { size: 8, cells: vec![1; 64], title: "attention mask".into() }),
    }
}
