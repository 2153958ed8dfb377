//! Imports of an operation with its own backward pass.
//!
//! Such an operation is a trait over Burn's backends with `#[backend_extension(Flex, Autodiff)]`, implemented
//!
//! 1. for [`Flex`]: the computation on [`FlexTensor`]s;
//! 2. for [`Autodiff`]: a [`Backward`] step that stores what the gradient needs. It is generic over the inner backend, so a
//!    second trait (`…Gradient`) declares the gradient for the backends that compute.
//!
//! A public function takes [`burn::tensor::Tensor`]s and calls the trait on [`Dispatch`]. [`crate::rms_norm::fused`] is the
//! shortest complete example.

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
