//! Specification of language models without tensors: attention patterns, layouts, masks, random numbers, configuration.
//!
//! This crate is pure host code and the lowest of the workspace. All other crates share its types:
//!
//! | module | content | used for |
//! |---|---|---|
//! | [`layout`] | [`TokenMark`], [`Layout`], [`Direction`] | position, order, document, prefix and padding of every token of a batch |
//! | [`pattern`] | [`Pattern`] | which keys a layer allows by position: windows, strides, blocks, global tokens, unions |
//! | [`formula`] | [`Formula`], [`TileCoverage`] | visibility as integer comparisons, evaluated on pairs, tiles and tensors |
//! | [`plan`] | [`plan::TilePlan`], [`plan::CachePolicy`], [`plan::dense_mask`] | tiles that a kernel computes, keys that a KV cache keeps |
//! | [`pages`] | [`pages::MarkPage`], [`pages::PAGE_SIZE`] | pages of 64 keys of decode state, and which of them a query sees |
//! | [`config`] | [`choice!`], [`config::LayeredConfig`], [`ValidationError`] | TOML configuration with inheritance, `--set`, and located errors |
//! | [`card`] | [`Card`], [`VariantFamily`] | metadata of a variant: paper, cost, causality |
//! | [`random`] | [`Random`] | named streams of random numbers |
//! | [`wildcard`] | [`wildcard::matches`] | parameter names with `*` |
//!
//! A query attends to a key if the key is valid, both are in the same document, the direction allows it, and the layer's
//! pattern allows it. Directions and documents are properties of the batch, patterns are properties of a layer:
//!
//! ```
//! use kiln_spec::{Direction, DocumentSpan, Layout, Pattern, plan::dense_mask};
//!
//! // Sliding window over the token itself and the token before it.
//! let pattern = Pattern::window(1, 0);
//!
//! // One row of six positions: documents of three and two tokens, and padding.
//! let document = |length| DocumentSpan { length, start: 0, direction: Direction::Causal };
//! let layout = Layout::packed(&[vec![document(3), document(2)]], 6);
//! let marks = layout.row(0);
//! assert_eq!((marks[3].document, marks[3].position, marks[5].valid), (1, 0, false));
//!
//! let mask = dense_mask(&pattern.visibility_formula(), marks, marks);
//! let row = |query: usize| -> String { mask[6 * query..6 * query + 6].iter().map(|m| if *m { 'x' } else { '.' }).collect() };
//! assert_eq!((0..5).map(row).collect::<Vec<_>>(), ["x.....", "xx....", ".xx...", "...x..", "...xx."]);
//! ```
#![forbid(unsafe_code)]

mod cache_policy;
pub mod card;
pub mod config;
pub mod formula;
pub mod layout;
pub mod pages;
pub mod pattern;
pub mod plan;
pub mod random;
mod tiles;
pub mod wildcard;

pub use card::{Card, Causality, VariantFamily};
pub use config::ValidationError;
pub use formula::{Formula, TileCoverage};
pub use layout::{Direction, DocumentSpan, Layout, TokenMark};
pub use pattern::Pattern;
pub use random::Random;
