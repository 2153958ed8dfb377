//! Hidden states as a target of distillation: the mean squared distance between those of student and teacher (FitNets,
//! 1412.6550; TinyBERT, 1909.10351), of models of one width.

use burn::tensor::Tensor;
use kiln_nn::{Context, Probe};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// Distance between hidden states as a further term of the loss.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HiddenStates {
    /// Weight of the mean squared distance.
    pub weight: f64,
    /// Pairs of blocks `[student, teacher]`, counted from 0, whose outputs are compared; the loss is the mean over the
    /// pairs. Empty: the final hidden states, after the final norm.
    pub layers: Vec<[usize; 2]>,
}

impl Default for HiddenStates {
    fn default() -> Self {
        Self { weight: 1.0, layers: Vec::new() }
    }
}

/// The captured outputs of blocks, by place in the list of blocks.
type Captured = Arc<Mutex<Vec<Option<Tensor<4>>>>>;

/// Probe that keeps the outputs of some blocks, in front of another probe.
struct BlockOutputs {
    paths: Vec<String>,
    captured: Captured,
    outer: Option<Box<dyn Probe>>,
}

impl Probe for BlockOutputs {
    fn wants(&self, path: &str) -> bool {
        self.paths.iter().any(|wanted| wanted == path) || self.outer.as_ref().is_some_and(|outer| outer.wants(path))
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        let value = match &mut self.outer {
            Some(outer) if outer.wants(path) => outer.intercept(path, value),
            _ => value,
        };
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        for (wanted, slot) in self.paths.iter().zip(captured.iter_mut()) {
            if wanted == path {
                *slot = Some(value.clone());
            }
        }
        value
    }
}

/// Runs a forward pass to the final hidden states and returns them with the outputs of `blocks`, `[B, T, M]` each.
pub(super) fn with_block_outputs(
    blocks: &[usize],
    cx: &mut Context,
    forward: impl FnOnce(&mut Context) -> Tensor<3>,
) -> (Tensor<3>, Vec<Tensor<3>>) {
    if blocks.is_empty() {
        return (forward(cx), Vec::new());
    }
    let captured: Captured = Arc::new(Mutex::new(vec![None; blocks.len()]));
    let paths = blocks.iter().map(|block| format!("blocks.{block}.residual")).collect();
    let outer = cx.probe.take();
    cx.probe = Some(Box::new(BlockOutputs { paths, captured: captured.clone(), outer }));
    let hidden = forward(cx);
    let outputs = std::mem::take(&mut *captured.lock().unwrap_or_else(PoisonError::into_inner));
    (hidden, outputs.into_iter().flatten().map(|output| output.squeeze_dim::<3>(0)).collect())
}

/// Mean squared distance of each token, `[N]`, between two hidden states `[N, M]`.
pub(super) fn mean_squared_distance(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    (student - teacher).square().mean_dim(1).squeeze_dim::<1>(1)
}
