//! Training examples: what one row of the training data holds.

mod kind;

pub use kind::ExampleKind;
