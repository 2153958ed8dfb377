//! Adapters: what they compute, which layers take them, and that the base model does not change.

mod adalora;
mod folder;
mod formula;
pub(crate) mod identities;
mod methods;
mod packed;
mod several;
mod targets;
mod token_factors;
mod virtual_tokens;
mod xlora;
