//! Looking into models: who listens to what passes in a forward, and may change it.
//!
//! * [`record`]: keeps what passes;
//! * [`edit`]: changes it: patching, ablation, steering;
//! * [`mod@look`]: attention maps and the logit lens of a text.
//!
//! Any model can be listened to, at paths like `blocks.3.attention.weights`; `docs/probes.md` lists them.
#![forbid(unsafe_code)]

pub mod edit;
pub mod inspect;
pub mod recorder;

pub use edit::{ActivationEdit, PatchSet, ablate, patch};
pub use inspect::{AttentionMap, AttentionReport, LogitLensLayer, TopToken, inspect};
pub use recorder::ActivationRecorder;
