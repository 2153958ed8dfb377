//! What an operation with a backward pass of its own is made of, in one import.

pub use burn::backend::{
    Autodiff, Backend, Dispatch, Flex, TensorMetadata,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    backend_extension,
    flex::{FlexTensor, Layout},
    tensor::{BoolTensor, FloatTensor, IntTensor},
};
