//! Batch-invariant arithmetic: products whose sums have one order for each element, whatever else is computed in the call.
//!
//! A general matrix product splits its sums by the number of rows, so that a token's values have other bits in a prompt than
//! alone. The products here don't. The order of an element's sum is a function of the weight's shape and of how the weight is
//! stored; it doesn't depend on the number of rows, on the other rows, or on threads:
//!
//! | weight | order of the sum over the inputs |
//! |---|---|
//! | `[in, out]` by rows | ascending, one accumulator an element |
//! | by columns, or packed with a row an output | that of the format's dot product: 16 lanes in four accumulators ([`crate::packed`]) |
//!
//! Both run over tiles of rows, with the same operations for an element as for one row alone. With them, attention by
//! [`crate::attention::exact`] and scans by [`crate::scan::exact`], a token's logits have the same bits in a whole prompt, in
//! chunks, alone, among others, and for any number of threads. Norms, activations and rotations need nothing: they compute
//! each row on its own.
//!
//! CPU only, forward only. Two machines may differ in the last bits, if one fuses multiply–add and the other doesn't.

mod operation;
pub(crate) mod product;
mod strips;

pub use operation::{grouped_linear, linear, packed_grouped_linear, packed_linear};

/// Arithmetic of a forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// The fastest kernels. A token's values depend on the other tokens of the call within rounding.
    #[default]
    Fast,
    /// Batch-invariant kernels; see the [module](self). CPU, 32-bit activations, without gradients.
    Exact,
}

impl Arithmetic {
    /// Whether kernels are batch-invariant.
    pub fn is_exact(self) -> bool {
        self == Self::Exact
    }
}
