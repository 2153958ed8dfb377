//! Tensors on their way into files: which goes into which, each read when its turn comes.

use super::{SAFETENSORS_FILE, SaveOptions};
use kiln_models::tensors::{TensorError, TensorInfo, TensorSource, WeightDtype, pack_tensor};
use safetensors::{Dtype, View};
use serde_json::{Value, json};
use std::{borrow::Cow, cell::RefCell, collections::BTreeMap};

/// Tensors of a file, by name.
pub(super) type Shard<'a> = BTreeMap<&'a str, PendingTensor<'a>>;

/// Files with their tensors, in the order of names, each up to the layout's bytes or of one tensor.
pub(super) fn split_into_shards<'a>(tensors: &'a dyn TensorSource, layout: SaveOptions) -> Vec<(String, Shard<'a>)> {
    let (mut files, mut bytes) = (vec![Shard::new()], 0);
    for (name, entry) in tensors.entries() {
        let pending = PendingTensor { tensors, name, entry, dtype: layout.dtype, error: RefCell::default() };
        let size = (&pending).data_len();
        if bytes + size > layout.max_shard_size && bytes > 0 {
            files.push(Shard::new());
            bytes = 0;
        }
        bytes += size;
        files.last_mut().expect("there is a first").insert(name, pending);
    }
    let count = files.len();
    let name =
        |i| if count == 1 { SAFETENSORS_FILE.into() } else { format!("model-{:05}-of-{count:05}.safetensors", i + 1) };
    files.into_iter().enumerate().map(|(i, shard)| (name(i), shard)).collect()
}

pub(super) fn shard_index(files: &[(String, Shard)]) -> Value {
    let total: usize = files.iter().flat_map(|(_, shard)| shard.values()).map(|pending| pending.data_len()).sum();
    let map: BTreeMap<&str, &str> =
        files.iter().flat_map(|(file, shard)| shard.keys().map(move |name| (*name, file.as_str()))).collect();
    json!({ "metadata": { "total_size": total }, "weight_map": map })
}

/// A tensor that is read when its turn comes; why it could not be is kept, for a view has no way to say so.
pub(super) struct PendingTensor<'a> {
    tensors: &'a dyn TensorSource,
    name: &'a str,
    entry: &'a TensorInfo,
    dtype: WeightDtype,
    pub error: RefCell<Option<TensorError>>,
}

impl View for &PendingTensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            WeightDtype::F16 => Dtype::F16,
            WeightDtype::BF16 => Dtype::BF16,
            WeightDtype::F32 | WeightDtype::Q8_0 => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.entry.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let read = self.tensors.read(self.name);
        let bytes = read.and_then(|data| pack_tensor(self.dtype.packing(), self.name, data));
        Cow::Owned(bytes.unwrap_or_else(|error| {
            self.error.replace(Some(error));
            Vec::new()
        }))
    }

    fn data_len(&self) -> usize {
        self.entry.shape.iter().product::<usize>() * self.dtype.packing().block_bytes
    }
}
