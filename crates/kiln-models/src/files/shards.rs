//! Tensors on their way into files: which goes into which, each read when its turn comes.

use super::{Layout, WEIGHTS};
use crate::tensors::{Entry, Numbers, TensorError, Tensors, stored};
use safetensors::{Dtype, View};
use serde_json::{Value, json};
use std::{borrow::Cow, cell::RefCell, collections::BTreeMap};

/// Tensors of a file, by name.
pub(super) type Shard<'a> = BTreeMap<&'a str, Pending<'a>>;

/// Files with their tensors, in the order of names, each up to the layout's bytes or of one tensor.
pub(super) fn shards<'a>(tensors: &'a dyn Tensors, layout: Layout) -> Vec<(String, Shard<'a>)> {
    let (mut files, mut bytes) = (vec![Shard::new()], 0);
    for (name, entry) in tensors.entries() {
        let pending = Pending { tensors, name, entry, numbers: layout.numbers, error: RefCell::default() };
        let size = (&pending).data_len();
        if bytes + size > layout.shard && bytes > 0 {
            files.push(Shard::new());
            bytes = 0;
        }
        bytes += size;
        files.last_mut().expect("there is a first").insert(name, pending);
    }
    let count = files.len();
    let name = |i| if count == 1 { WEIGHTS.into() } else { format!("model-{:05}-of-{count:05}.safetensors", i + 1) };
    files.into_iter().enumerate().map(|(i, shard)| (name(i), shard)).collect()
}

pub(super) fn index(files: &[(String, Shard)]) -> Value {
    let total: usize = files.iter().flat_map(|(_, shard)| shard.values()).map(|pending| pending.data_len()).sum();
    let map: BTreeMap<&str, &str> =
        files.iter().flat_map(|(file, shard)| shard.keys().map(move |name| (*name, file.as_str()))).collect();
    json!({ "metadata": { "total_size": total }, "weight_map": map })
}

/// A tensor that is read when its turn comes; why it could not be is kept, for a view has no way to say so.
pub(super) struct Pending<'a> {
    tensors: &'a dyn Tensors,
    name: &'a str,
    entry: &'a Entry,
    numbers: Numbers,
    pub error: RefCell<Option<TensorError>>,
}

impl View for &Pending<'_> {
    fn dtype(&self) -> Dtype {
        match self.numbers {
            Numbers::F16 => Dtype::F16,
            Numbers::BF16 => Dtype::BF16,
            Numbers::F32 | Numbers::Q8_0 => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.entry.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let read = self.tensors.read(self.name);
        let bytes = read.and_then(|data| stored(self.numbers.packing(), self.name, data));
        Cow::Owned(bytes.unwrap_or_else(|error| {
            self.error.replace(Some(error));
            Vec::new()
        }))
    }

    fn data_len(&self) -> usize {
        self.entry.shape.iter().product::<usize>() * self.numbers.packing().bytes
    }
}
