//! The parts of language models as composable Burn modules.
//!
//! * [`cx`]: what varies between calls; one `forward` serves training, prefill and decoding;
//! * [`part`]: attention and feed-forwards; [`embed`], [`position`], [`norm`], [`junction`], [`depth`], [`head`];
//! * [`adapter`]: what stands beside linear maps and is trained instead of them;
//! * [`held`]: matrices that stay packed;
//! * [`variant`]: what every part has, and the registry that a list line enters it in.
#![forbid(unsafe_code)]

pub mod adapter;
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
pub mod variant;

pub use context::{Context, Memory, Probe, State};
pub use init::Initializer;
pub use variant::{BuildContext, Card, Causality, Cost, Variant};
