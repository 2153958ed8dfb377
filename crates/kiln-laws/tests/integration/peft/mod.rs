//! Adapters: what they compute, where they may stand, and that the base stays as it is.

mod folder;
mod formula;
mod identities;
mod targets;
