//! Expert loads: the share of tokens that each expert of a mixture of experts receives.

use crate::{ActivationRecorder, forward::forward_text};
use burn::tensor::ExecutionError;
use kiln_models::Model;

/// Loads of the experts of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertLoads {
    /// Path of the layer, such as `blocks.3.feed_forward`.
    pub layer: String,
    /// Share of all selections that went to each expert, in order. The shares add up to 1. With perfect balance each is
    /// 1 / number of experts.
    pub shares: Vec<f64>,
}

/// Runs `tokens` through the model as one document and returns the expert loads of each mixture-of-experts layer, in the
/// order of the forward pass. Empty for a model without experts.
///
/// The document is read as by [`inspect()`](crate::inspect()).
///
/// # Errors
/// [`ExecutionError`] if the device fails while the results are read back.
pub async fn expert_loads(model: &Model, tokens: &[u32]) -> Result<Vec<ExpertLoads>, ExecutionError> {
    let recorder = ActivationRecorder::new(&["*.chosen"]);
    forward_text(model, tokens, 1, recorder.clone());
    let mut layers = Vec::new();
    for (path, weights) in recorder.activations() {
        let Some(layer) = path.strip_suffix(".chosen") else { continue };
        let num_experts = weights.dims()[3];
        let weights: Vec<f32> = weights.into_data_async().await?.iter::<f32>().collect();
        layers.push(ExpertLoads { layer: layer.into(), shares: selection_shares(&weights, num_experts) });
    }
    Ok(layers)
}

/// Shares of the selections, from the weights `[tokens, experts]`, which are 0 for experts that were not selected.
fn selection_shares(weights: &[f32], num_experts: usize) -> Vec<f64> {
    let mut counts = vec![0_u64; num_experts];
    for row in weights.chunks_exact(num_experts.max(1)) {
        row.iter().zip(&mut counts).for_each(|(weight, count)| *count += u64::from(*weight > 0.0));
    }
    let total = counts.iter().sum::<u64>().max(1) as f64;
    counts.into_iter().map(|count| count as f64 / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kiln_infer::block_on;
    use kiln_models::ModelConfig;

    #[test]
    fn selections_are_counted() {
        assert_eq!(selection_shares(&[0.5, 0.5, 0.0, 0.0, 0.9, 0.1, 1.0, 0.0, 0.0], 3), [0.4, 0.4, 0.2]);
        assert_eq!(selection_shares(&[], 2), [0.0, 0.0]);
    }

    #[test]
    fn shares_of_a_model_add_up_to_one() {
        let config = r#"{"vocab": 11, "hidden": 16, "blocks": [
            {"repeat": 2, "sublayers": [{"parts": ["attention"]}, {"parts": [{"experts": {"num_experts": 4, "top_k": 2}}]}]}
        ]}"#;
        let mut config: ModelConfig = serde_json::from_str(config).unwrap();
        config.resolve();
        let model = Model::init(&config, 3, &Device::flex());
        let loads = block_on(expert_loads(&model, &[1, 5, 2, 9, 9, 3])).unwrap();
        assert_eq!(
            loads.iter().map(|layer| layer.layer.as_str()).collect::<Vec<_>>(),
            ["blocks.0.feed_forward", "blocks.1.feed_forward"]
        );
        for layer in loads {
            assert_eq!(layer.shares.len(), 4);
            assert!((layer.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{layer:?}");
        }
        let dense = Model::init(&ModelConfig { vocab: 11, hidden: 16, ..ModelConfig::default() }, 3, &Device::flex());
        assert_eq!(block_on(expert_loads(&dense, &[1, 2])).unwrap(), []);
    }
}
