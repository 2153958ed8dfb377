//! Tensors that a layer publishes for later layers of the same call.
//!
//! | tensor | published by | read by |
//! |---|---|---|
//! | first values | the first attention layer of a stack | layers with a value residual (2410.17897) |
//! | keys and values | an attention layer | layers that share them (cross-layer attention, 2405.12981) |
//!
//! Which layer publishes and which ones read follows from the configuration of the stack: [`LayerLinks`].
//!
//! Each reader reads through a barrier that is chained to the reader before it, so that a published tensor gets its gradients
//! as g₁ + (g₂ + (… + gₙ)), two at a time, whatever the readers are. There are two chains, of the blocks that read and of the
//! readers within a block, because a recomputed block is one reader of the outer graph; see [`crate::autograd_order`].

use super::Context;
use crate::autograd_order::graph_barrier;
use burn::tensor::Tensor;
use kiln_spec::plan::CachePolicy;
use std::collections::{BTreeMap, btree_map::Entry};

/// A published tensor. Layers are numbered by their attention layers, from 0 in each stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SharedTensor {
    /// Values of the first attention layer, of this call's tokens: `[B, G, T, D]`.
    FirstValues,
    /// Keys of a layer, cached ones first, with their positions applied: `[B, G, S, D]`.
    Keys(usize),
    /// Values of a layer, cached ones first: `[B, G, S, D]`.
    Values(usize),
}

/// What an attention layer publishes, and what it reads of an earlier layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerLinks {
    /// Whether later layers add this layer's values to theirs.
    pub publishes_values: bool,
    /// Whether the layer adds the first layer's values to its own.
    pub reads_values: bool,
    /// Number under which the layer publishes its keys and values. `None`: no other layer reads them.
    pub publishes_key_value: Option<usize>,
    /// The layer whose keys and values this one reads. `None`: it has its own.
    pub reads_key_value: Option<KeyValueLink>,
}

/// The layer whose keys and values another layer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyValueLink {
    /// Number of the layer.
    pub layer: usize,
    /// Which keys that layer caches.
    pub policy: CachePolicy,
}

/// Tensors by what they are.
pub(super) type SharedValues = Vec<(SharedTensor, Tensor<4>)>;

/// The published tensors of one stack in one call.
#[derive(Clone, Default)]
pub(crate) struct SharedStore {
    /// Tensors that earlier blocks published, at the end of the chain of the blocks that read them.
    published: BTreeMap<SharedTensor, Tensor<4>>,
    /// Tensors that the running block has published or read, at the end of the chain of its readers.
    in_block: BTreeMap<SharedTensor, Tensor<4>>,
}

impl SharedStore {
    /// Returns a store in which earlier blocks have published these tensors.
    pub(super) fn with_published(tensors: SharedValues) -> Self {
        Self { published: tensors.into_iter().collect(), in_block: BTreeMap::new() }
    }

    /// Returns the store without its graph.
    pub(super) fn detached(&self) -> Self {
        Self::with_published(self.published.iter().map(|(name, tensor)| (*name, tensor.clone().detach())).collect())
    }

    /// Ends a block: what it has published is there for later blocks.
    pub(super) fn end_block(&mut self) {
        for (name, tensor) in std::mem::take(&mut self.in_block) {
            self.published.entry(name).or_insert(tensor);
        }
    }

    /// Adds what a block has published.
    pub(super) fn extend(&mut self, tensors: SharedValues) {
        self.published.extend(tensors);
    }

    /// Returns what the running block has published.
    pub(super) fn published_in_block(&self) -> SharedValues {
        let own = self.in_block.iter().filter(|(name, _)| !self.published.contains_key(name));
        own.map(|(name, tensor)| (*name, tensor.clone())).collect()
    }

    /// Returns which tensors of earlier blocks the running block has read.
    pub(super) fn read_in_block(&self) -> Vec<SharedTensor> {
        self.in_block.keys().filter(|name| self.published.contains_key(name)).copied().collect()
    }

    /// Returns tensors of earlier blocks for a block that reads them, each at the next link of its chain.
    pub(super) fn next_readers(&mut self, names: &[SharedTensor]) -> SharedValues {
        let readers = names.iter().filter_map(|name| Some((*name, next_link(self.published.get_mut(name)?))));
        readers.collect()
    }
}

/// Returns the end of a chain for its next reader, and moves the end on.
fn next_link(end: &mut Tensor<4>) -> Tensor<4> {
    let reader = end.clone();
    *end = graph_barrier(reader.clone());
    reader
}

impl Context {
    /// Publishes a tensor for later layers of this stack, and returns it for the layer itself.
    pub fn publish(&mut self, name: SharedTensor, value: Tensor<4>) -> Tensor<4> {
        self.shared.in_block.insert(name, graph_barrier(value.clone()));
        graph_barrier(value)
    }

    /// Returns a tensor that an earlier layer of this stack has published. `None`: no layer has.
    pub fn read_shared(&mut self, name: SharedTensor) -> Option<Tensor<4>> {
        let SharedStore { published, in_block } = &mut self.shared;
        let end = match in_block.entry(name) {
            Entry::Occupied(end) => end.into_mut(),
            Entry::Vacant(first) => first.insert(graph_barrier(next_link(published.get_mut(&name)?))),
        };
        Some(graph_barrier(next_link(end)))
    }

    /// Runs a stack, whose layers see what they publish themselves and nothing that other stacks publish.
    pub fn with_own_shared_tensors<R>(&mut self, stack: impl FnOnce(&mut Self) -> R) -> R {
        let outer = std::mem::take(&mut self.shared);
        let result = stack(self);
        self.shared = outer;
        result
    }
}
