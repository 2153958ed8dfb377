//! Parts of language models as Burn modules that are chosen and configured by data.
//!
//! In the order of data flow through a model:
//!
//! 1. [`context`]: what varies between calls — token marks, masks, decode state, random-number key, probe. One `forward`
//!    serves training, prefill and decoding;
//! 2. [`input_embedding`] and [`position`]: token embeddings to the residual stream `[B, T, M]`; sinusoidal, learned, rotary,
//!    ALiBi and T5 positions;
//! 3. [`depth`], [`streams`] and [`junction`]: which tokens a block runs for, its residual connections, and where its norms are;
//! 4. [`norm`] and [`part`]: RMSNorm, LayerNorm, dynamic tanh; attention, recurrent mixers (GLA,
//!    Mamba-2, gated DeltaNet), MLPs, mixture of experts;
//! 5. [`head`]: hidden states to logits, class scores or sentence embeddings.
//!
//! Below them: [`linear`] maps with weights that may be quantized ([`packed_weight`]) and adapted ([`adapter`]);
//! [`init`] for initial weights; [`variant`] for the registries that turn a configuration into a module;
//! [`autograd_order`] for what fixes the order of gradient sums.
//!
//! A part is a configuration (plain data, serde), a module (its parameters) and a [`Card`] (name, paper, cost, limits).
//! [`variants!`] lists the parts of a family; adding one is a file and a list line, see `docs/add-a-variant.md`.
//!
//! Shapes in this crate: B sequences, T tokens, M hidden width, H query heads, G key-value heads, S keys, D width of a head,
//! V vocabulary.
//!
//! # Example
//!
//! A feed-forward part from its configuration, checked, built and run within a context:
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use kiln_nn::part::PartConfig;
//! use kiln_nn::position::PositionConfig;
//! use kiln_nn::{BuildContext, Context, Initializer};
//! use kiln_spec::{Direction, Layout};
//!
//! let mut config: PartConfig = serde_json::from_str(r#"{ "gated_mlp": { "intermediate": 32 } }"#).unwrap();
//! let position = PositionConfig::default();
//! let build = BuildContext {
//!     hidden: 16,
//!     vocab: 100,
//!     heads: 4,
//!     dropout: 0.0,
//!     position: &position,
//!     direction: Direction::Causal,
//! };
//! config.resolve(&build);
//! config.check(&build, "part").unwrap();
//!
//! let device = Device::flex();
//! let part = config.init(&build, &mut Initializer::new(7, &device));
//! // One sequence of five tokens, a call without state.
//! let layout = Layout::from_offsets(&[0], &[5], 5, Direction::Causal);
//! let mut cx = Context::new(&layout, &device);
//! let out = part.forward(Tensor::ones([1, 5, 16], &device), &mut cx);
//! assert_eq!(out.dims(), [1, 5, 16]);
//! // Three matrices of 16 × 32, two operations per weight.
//! assert_eq!(part.cost(5).flops, 2.0 * 3.0 * 16.0 * 32.0);
//! assert_eq!(part.describe(), "16 → 32, silu gate");
//! ```
#![forbid(unsafe_code)]

pub mod adapter;
pub mod arithmetic;
pub mod autograd_order;
pub mod context;
pub mod depth;
pub mod head;
pub mod init;
pub mod input_embedding;
pub mod junction;
pub mod linear;
pub mod norm;
pub mod packed_weight;
pub mod part;
pub mod position;
pub mod streams;
mod top_k_mask;
pub mod variant;

pub use context::{Context, Memory, Probe, State, StateError};
pub use init::Initializer;
pub use variant::{BuildContext, Card, Causality, Cost, Variant};
