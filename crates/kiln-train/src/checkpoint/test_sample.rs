//! Checkpoints for tests.
use serde_json::Value;

use super::*;

/// A checkpoint with a validation loss, whose bytes depend on the step alone; `size` elements a tensor.
pub fn sample(step: u64, value: Option<f64>, size: usize) -> Checkpoint {
    let element = |salt: u64, i: usize| ((step * 31 + salt + i as u64) % 977) as f32 / 977.0;
    let tensor = |salt| RawTensor::from_f32(vec![size], &(0..size).map(|i| element(salt, i)).collect::<Vec<_>>());
    let position = RawTensor { dtype: Dtype::I64, shape: vec![], bytes: step.to_le_bytes().to_vec() };
    let half = RawTensor { dtype: Dtype::BF16, shape: vec![2, 1], bytes: vec![1, 2, 3, step as u8] };
    let state = TrainerState {
        step,
        steps: 1000,
        tokens: step * 3072,
        data_position: step * 12,
        eval_loss: value,
        fingerprints: Fingerprints { recipe: "r".into(), tokenizer: "t".into(), corpus: "c".into() },
        extra: [("note".to_owned(), Value::from("“kept”"))].into_iter().collect(),
    };
    let model = [("embed.weight", tensor(0)), ("blocks.0.norm.weight", tensor(1)), ("head.weight", half)];
    let train = [("moment.1.embed.weight", tensor(2)), ("moment.2.embed.weight", tensor(3)), ("position", position)];
    Checkpoint { state, model_tensors: named(model), training_tensors: named(train) }
}

fn named(tensors: [(&str, RawTensor); 3]) -> NamedTensors {
    tensors.map(|(name, raw)| (name.to_owned(), raw)).into_iter().collect()
}
