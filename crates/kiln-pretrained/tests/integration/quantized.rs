//! Files of llama.cpp's quantizer give the logits that llama.cpp computes of the same weights, dequantized.

use crate::bytes;
use burn::tensor::{Device, Tensor, TensorData};
use kiln_nn::Context;
use kiln_pretrained::gguf::GgufFile;
use kiln_spec::{Direction, Layout};
use safetensors::SafeTensors;

/// Tolerance relative to the largest logit. Both sides compute in f32.
const TOLERANCE: f32 = 1e-5;

#[test]
fn quantized_experts_and_norms_of_heads_give_the_logits_of_llama_cpp() {
    for (name, family) in [("quantized-mixtral", "mixtral"), ("quantized-qwen3", "qwen3")] {
        let file = GgufFile::from_bytes(name.as_ref(), bytes(&format!("{name}.gguf"))).unwrap();
        let loaded = file.load(&Device::flex()).unwrap();
        assert_eq!(loaded.family.name, family);
        assert!(!loaded.model.packed_weights().is_empty(), "{name}: nothing stayed packed");
        let reference = bytes(&format!("{name}.safetensors"));
        let reference = SafeTensors::deserialize(&reference).unwrap();
        let words = |tensor: &str| reference.tensor(tensor).unwrap().data().as_chunks().0.to_vec();
        let ids: Vec<i32> = words("ids").into_iter().map(i32::from_le_bytes).collect();
        let want: Vec<f32> = words("logits").into_iter().map(f32::from_le_bytes).collect();
        let layout = Layout::from_offsets(&[0], &[ids.len()], ids.len(), Direction::Causal);
        let mut cx = Context::new(&layout, &Device::flex());
        let count = ids.len();
        let tokens = Tensor::from_data(TensorData::new(ids, [1, count]), &Device::flex());
        let hidden = loaded.model.forward(tokens, &mut cx);
        let found: Vec<f32> = loaded.model.outputs(hidden, &cx).into_data().try_into_vec().unwrap();
        let largest = want.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let apart = found.iter().zip(&want).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(found.len() == want.len() && apart <= TOLERANCE * largest, "{name}: {apart:e} of {largest}");
    }
}
