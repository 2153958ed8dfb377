//! Tensor names of a family: a table of names, from which the bindings of a model's parameters follow.
//!
//! An entry says which tensor holds a parameter. `{i}` stands for the number of a layer, `{e}` for that of an expert or of a
//! head. The entry of a linear layer or a norm names the layer; `.weight` and `.bias` follow, whichever the model has.

mod expansion;

pub(super) use expansion::bindings;

use super::binding::ValueMap;

/// An entry of the table of names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    parameters: Parameters,
    tensor: &'static str,
    /// Whether matrices are `[out, in]` in the file; Kiln's are `[in, out]`.
    transposed: bool,
    /// How the outputs of several parameters stand in a fused tensor.
    fusion: Fusion,
    /// Whether the file has a vector over all heads head by head.
    by_rows: bool,
    /// Axis of length 1 that the tensor has and the parameter lacks.
    unit_axis: Option<usize>,
    /// Whether the tensor has a matrix for each head.
    head_matrices: bool,
    /// Function of the file's values that gives the parameter's.
    map: Option<ValueMap>,
    /// Whether the rows of q and k are in the order of interleaved rotary pairs.
    interleaved: bool,
    /// Ends of the tensor's name, for those of the parameter's name.
    ends: &'static [(&'static str, &'static str)],
    condition: Condition,
}

/// Patterns of the parameters that a tensor holds.
#[derive(Clone, Copy, Debug)]
enum Parameters {
    One(&'static str),
    /// Several, in the order in which their outputs stand in the tensor.
    Fused(&'static [&'static str]),
}

impl Parameters {
    fn patterns(&self) -> &[&'static str] {
        match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::Fused(patterns) => patterns,
        }
    }
}

/// How the outputs of several parameters stand in a fused tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fusion {
    /// One after the other: all queries, all keys, all values.
    Sequential,
    /// For each key-value head: its queries, its key, its value. For each head of latent attention: its key, its value.
    ByHead,
    /// For each output number: that of the first parameter, that of the second.
    Alternating,
}

/// Which models an entry holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    /// The model has this parameter; `{i}` is the layer of the entry's.
    With(&'static str),
    /// The model lacks this parameter.
    Without(&'static str),
    /// The layer's parts have a norm each, under one junction (true), or not.
    PartNorms(bool),
}

/// A tensor with the values of a parameter as they are: an embedding, a norm.
pub(super) const fn same(parameter: &'static str, tensor: &'static str) -> Name {
    Name {
        parameters: Parameters::One(parameter),
        tensor,
        transposed: false,
        fusion: Fusion::Sequential,
        by_rows: false,
        unit_axis: None,
        head_matrices: false,
        map: None,
        interleaved: false,
        ends: &[],
        condition: Condition::Always,
    }
}

/// A linear layer, whose matrix is `[out, in]` in the file.
pub(super) const fn linear(parameter: &'static str, tensor: &'static str) -> Name {
    Name { transposed: true, ..same(parameter, tensor) }
}

/// Linear layers whose outputs stand one after the other in one tensor, `[out, in]` in the file.
pub(super) const fn fused(parameters: &'static [&'static str], tensor: &'static str) -> Name {
    Name { parameters: Parameters::Fused(parameters), ..linear("", tensor) }
}

impl Name {
    /// The fused tensor with the outputs of each key-value head together: its queries, its key, its value.
    pub const fn by_head(self) -> Self {
        Self { fusion: Fusion::ByHead, ..self }
    }

    /// The fused tensor with the outputs of the parameters in turn: gate 0, up 0, gate 1, up 1. All have as many.
    pub const fn alternating(self) -> Self {
        Self { fusion: Fusion::Alternating, ..self }
    }

    /// The vector over all heads as a matrix `[heads, head width]`, or, if the tensor's name has `{e}`, as one tensor for each
    /// head: the norm of queries or keys with weights for each head. In a state-space model: `[groups, group width]`.
    pub const fn head_rows(self) -> Self {
        Self { by_rows: true, ..self }
    }

    /// The tensor with an axis of length 1 more, at this place: the filter of a convolution by channel. A bias has none.
    pub const fn with_unit_axis(self, axis: usize) -> Self {
        Self { unit_axis: Some(axis), ..self }
    }

    /// The tensor with a matrix for each head, along a first axis.
    pub const fn head_matrices(self) -> Self {
        Self { head_matrices: true, ..self }
    }

    /// The tensor with values of which `map` gives the parameter's.
    pub const fn mapped(self, map: ValueMap) -> Self {
        Self { map: Some(map), ..self }
    }

    /// The tensor of q or k, or both with v, with the rows of each rotary pair adjacent (see [`RowPermutation`]).
    pub const fn interleaved(self) -> Self {
        Self { interleaved: true, ..self }
    }

    /// The tensor with its matrix as in Kiln, `[in, out]`.
    pub const fn not_transposed(self) -> Self {
        Self { transposed: false, ..self }
    }

    /// The tensor with other ends of its name than the parameter: `gamma` for `weight`.
    pub const fn with_ends(self, ends: &'static [(&'static str, &'static str)]) -> Self {
        Self { ends, ..self }
    }

    /// Only if the model has this parameter too; `{i}` is the same layer.
    pub const fn with(self, parameter: &'static str) -> Self {
        Self { condition: Condition::With(parameter), ..self }
    }

    /// Only if the model lacks this parameter; `{i}` is the same layer.
    pub const fn without(self, parameter: &'static str) -> Self {
        Self { condition: Condition::Without(parameter), ..self }
    }

    /// Only in layers whose parallel parts have a norm each (`part_norm`).
    pub const fn with_part_norms(self) -> Self {
        Self { condition: Condition::PartNorms(true), ..self }
    }

    /// Only in layers whose parts share a norm, or follow each other.
    pub const fn without_part_norms(self) -> Self {
        Self { condition: Condition::PartNorms(false), ..self }
    }

    /// Only if the head is tied to the embedding: the model has no matrix of its own for the head.
    pub const fn if_tied(self) -> Self {
        self.without("head.weight")
    }
}
