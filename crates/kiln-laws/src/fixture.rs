//! Reference values computed by other programs (PyTorch, transformers, peft), in `fixtures/*.safetensors`.
//!
//! `fixtures/README.md` lists the files, their tensors, and the script and versions that made them.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// A file of named tensors of reference values.
pub struct Fixture {
    name: String,
    bytes: Vec<u8>,
}

impl Fixture {
    /// Reads `fixtures/<name>.safetensors`.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: name.into(), bytes }
    }

    /// Text in the file's metadata under `key`.
    ///
    /// # Panics
    /// If there is none.
    pub fn metadata(&self, key: &str) -> String {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).expect("a safetensors file");
        let text = header.metadata().as_ref().and_then(|all| all.get(key).cloned());
        text.unwrap_or_else(|| panic!("{}: no `{key}` in the metadata", self.name))
    }

    /// Names of the tensors that start with `prefix`, without it, in order.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let mut names: Vec<String> =
            file.names().into_iter().filter_map(|name| name.strip_prefix(prefix)).map(String::from).collect();
        names.sort_unstable();
        names
    }

    /// Shape and row-major values of a tensor of `f32`, `f64` or `i64`.
    ///
    /// # Panics
    /// If the file has no tensor of this name, or one of another type.
    pub fn values(&self, tensor: &str) -> (Vec<usize>, Vec<f64>) {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let view = file.tensor(tensor).unwrap_or_else(|error| panic!("{}: {tensor}: {error}", self.name));
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(to_array(b)))).collect(),
            Dtype::F64 => data.chunks_exact(8).map(|b| f64::from_le_bytes(to_array(b))).collect(),
            Dtype::I64 => data.chunks_exact(8).map(|b| i64::from_le_bytes(to_array(b)) as f64).collect(),
            other => panic!("{}: {tensor} is {other:?}", self.name),
        };
        (view.shape().to_vec(), values)
    }

    /// A tensor of `f64`, whatever the type in the file.
    ///
    /// # Panics
    /// If the file has no tensor of this name and of rank `D`.
    pub fn tensor<const D: usize>(&self, tensor: &str, device: &Device) -> Tensor<D> {
        let (shape, values) = self.values(tensor);
        Tensor::from_data(TensorData::new(values, shape), (device, DType::F64))
    }

    /// A tensor of integers, for token ids and masks. Values of other types are rounded toward zero.
    ///
    /// # Panics
    /// If the file has no tensor of this name and of rank `D`.
    pub fn integers<const D: usize>(&self, tensor: &str, device: &Device) -> Tensor<D, Int> {
        let (shape, values) = self.values(tensor);
        let values: Vec<i32> = values.into_iter().map(|v| v as i32).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// A chunk of bytes as an array, for `from_le_bytes`.
fn to_array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("a chunk of N bytes")
}
