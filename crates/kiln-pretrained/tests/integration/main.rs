//! Model files of other programs, and Kiln's own: GGUF (see `tools/fixtures_gguf.py`), folders, adapters.

#[cfg(feature = "files")]
mod adapters;
mod exports;
mod faults;
mod models;
mod packings;
#[cfg(feature = "files")]
mod pretrained;
mod quantized;
#[cfg(feature = "files")]
mod quantized_folders;
#[cfg(feature = "files")]
mod real;
#[cfg(feature = "files")]
mod split;

use burn::tensor::TensorData;
use kiln_models::{StateDict, tensors::TensorSource};
use kiln_pretrained::gguf::GgufReader;
use safetensors::SafeTensors;
use std::path::Path;

fn bytes(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn gguf(name: &str) -> GgufReader<Vec<u8>> {
    GgufReader::open(bytes(&format!("{name}.gguf"))).expect("a GGUF file")
}

/// The tensors of a safetensors file that are floats of 32 bits.
fn safetensors(name: &str) -> StateDict {
    let bytes = bytes(&format!("{name}.safetensors"));
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let floats = |data: &[u8]| data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<f32>>();
    let read = |(name, view): (String, safetensors::tensor::TensorView)| {
        let shape = view.shape().to_vec();
        (view.dtype() == safetensors::Dtype::F32).then(|| (name, TensorData::new(floats(view.data()), shape)))
    };
    file.tensors().into_iter().filter_map(read).collect()
}

/// Shape and bits of every tensor.
fn bits(tensors: &dyn TensorSource) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    let read = |name: &String| (name.clone(), tensors.read(name).expect("a tensor"));
    tensors.entries().keys().map(read).map(|(name, data)| bits_of(name, &data)).collect()
}

/// Name, shape and bits of a tensor.
fn bits_of(name: String, data: &TensorData) -> (String, Vec<usize>, Vec<u32>) {
    let values = data.as_slice::<f32>().expect("floats of 32 bits");
    (name, data.shape().to_vec(), values.iter().map(|value| value.to_bits()).collect())
}
