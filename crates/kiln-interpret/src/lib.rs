//! Looking into models: who listens to what passes in a forward, and may change it.
//!
//! * [`record`]: keeps what passes;
//! * [`edit`]: changes it: patching, ablation, steering;
//! * [`mod@look`]: attention maps and the logit lens of a text.
//!
//! Any model can be listened to, at paths like `blocks.3.attention.weights`; `docs/probes.md` lists them.
#![forbid(unsafe_code)]

pub mod edit;
pub mod look;
pub mod record;

pub use edit::{Edit, Together, ablate, patch};
pub use look::{Guess, Inside, Layer, Map, look};
pub use record::Record;
