//! Interpretability of language models: recorded activations, attention maps, the logit lens, ablation and activation
//! patching.
//!
//! A model calls the [`Probe`](kiln_nn::Probe) in its [`Context`](kiln_nn::Context) at named points of the forward pass,
//! such as `blocks.3.attention.weights` or `blocks.3.residual`; `docs/probes.md` lists all paths with their shapes. The
//! probe reads the activation and returns the one that the model continues with. This crate holds probes for every
//! model; in the order of data flow:
//!
//! 1. [`ActivationRecorder`] stores the activations at chosen paths and changes nothing.
//! 2. [`ActivationEdit`] changes them: [`ablate`] sets them to zero, [`patch`] replaces them by those of another run,
//!    [`ActivationEdit::new`] takes any function. [`PatchSet`] applies several probes in order.
//! 3. [`inspect()`] runs one text with a recorder and returns an [`AttentionReport`]: an [`AttentionMap`] for each head,
//!    and for each layer a [`LogitLensLayer`] with a [`TopToken`] for each token. The command `kiln inspect --text`
//!    shows it.
//! 4. [`expert_loads()`] returns how many tokens each expert of a mixture of experts receives.
//!
//! In all paths given to this crate, `*` matches any characters, dots included.
//!
//! ```
//! use burn::tensor::{Device, Int, Tensor};
//! use kiln_infer::block_on;
//! use kiln_interpret::{ActivationRecorder, PatchSet, ablate, inspect};
//! use kiln_models::{Model, ModelConfig};
//! use kiln_nn::Context;
//! use kiln_spec::{Direction, DocumentSpan, Layout};
//!
//! let device = Device::flex();
//! let mut config = ModelConfig { vocab: 11, hidden: 16, ..ModelConfig::default() };
//! config.resolve();
//! let model = Model::init(&config, 7, &device);
//!
//! // The model without its first attention layer: the recorder sees the zeros that `ablate` leaves.
//! let recorder = ActivationRecorder::new(&["blocks.*.attention.out"]);
//! let document = DocumentSpan { length: 3, start: 0, direction: Direction::Causal };
//! let mut cx = Context::new(&Layout::packed(&[vec![document]], 3), &device);
//! cx.probe = Some(Box::new(PatchSet(vec![
//!     Box::new(ablate("blocks.0.attention.out")),
//!     Box::new(recorder.clone()),
//! ])));
//! model.forward(Tensor::<2, Int>::from_ints([[4, 0, 9]], &device), &mut cx);
//! let out = recorder.get("blocks.0.attention.out").expect("recorded");
//! assert_eq!(out.dims(), [1, 1, 3, 16]);
//! assert!(block_on(out.into_data_async())?.iter::<f32>().all(|value| value == 0.0));
//!
//! // Attention maps and logit lens of a text of three tokens.
//! let report = block_on(inspect(&model, &[4, 0, 9]))?;
//! let first_map = &report.attention_maps[0];
//! assert_eq!((first_map.num_queries, first_map.num_keys), (3, 3));
//! assert_eq!(first_map.weights[1], 0.0, "the first token does not attend to the second");
//! assert_eq!(report.logit_lens[0].path, "embedding");
//! # Ok::<(), burn::tensor::ExecutionError>(())
//! ```
#![forbid(unsafe_code)]

pub mod edit;
pub mod expert_loads;
mod forward;
pub mod inspect;
pub mod recorder;

pub use edit::{ActivationEdit, EditFn, PatchSet, ablate, patch};
pub use expert_loads::{ExpertLoads, expert_loads};
pub use forward::forward_text;
pub use inspect::{AttentionMap, AttentionReport, LogitLensLayer, TopToken, inspect};
pub use recorder::ActivationRecorder;
