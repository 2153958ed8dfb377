//! Tensor names of a family: a table of names, from which the bindings of a model's parameters follow.
//!
//! An entry says which tensor holds a parameter. `{i}` stands for the number of a layer, `{e}` for that of an expert or of a
//! head. The entry of a linear layer or a norm names the layer; `.weight` and `.bias` follow, whichever the model has.

use super::{
    binding::{Binding, HeadAxis, Slice, ValueMap},
    row_permutation::RowPermutation,
};
use crate::{
    config::{ModelConfig, SublayerConfig},
    model::Model,
    parameters::{NamedParameter, named_parameters},
};
use kiln_nn::part::{PartConfig, attention::ProjectionConfig};
use std::{collections::BTreeMap, iter::repeat_n};

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

/// The bindings of the parameters of a model, in the order of the table. Several bindings of a parameter are alternatives, or
/// parts of a stacked parameter.
pub(super) fn bindings(names: &[&[Name]], config: &ModelConfig) -> Vec<Binding> {
    let outline = Model::without_weights(config);
    let parameters = named_parameters(&outline);
    let expansion = Expansion {
        config,
        shapes: parameters.iter().map(|parameter| (parameter.path.as_str(), &parameter.shape[..])).collect(),
    };
    let mut bindings = Vec::new();
    for name in names.iter().copied().flatten() {
        for (index, pattern) in name.parameters.patterns().iter().enumerate() {
            for parameter in &parameters {
                let found = match_name(pattern, &parameter.path);
                if let Some(found) = found.filter(|found| expansion.is_met(name.condition, found)) {
                    bindings.extend(expansion.expand(name, index, parameter, &found));
                }
            }
        }
    }
    bindings
}

/// A parameter that an entry names.
struct Match<'a> {
    /// Number of the layer, for `{i}`.
    layer: Option<&'a str>,
    /// What follows the named layer: ``, `.weight` or `.bias`.
    end: &'a str,
}

impl Match<'_> {
    /// Number of the layer; 0 for a parameter outside of the layers.
    fn layer(&self) -> usize {
        self.layer.and_then(|layer| layer.parse().ok()).unwrap_or(0)
    }
}

/// Matches the name of a parameter with a pattern.
fn match_name<'a>(pattern: &str, path: &'a str) -> Option<Match<'a>> {
    let (layer, rest) = match pattern.split_once("{i}") {
        None => (None, path.strip_prefix(pattern)?),
        Some((before, after)) => {
            let rest = path.strip_prefix(before)?;
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            (Some(&rest[..digits]).filter(|layer| !layer.is_empty()), rest[digits..].strip_prefix(after)?)
        }
    };
    (pattern.contains("{i}") == layer.is_some() && ["", ".weight", ".bias"].contains(&rest))
        .then_some(Match { layer, end: rest })
}

/// A model whose names are expanded.
struct Expansion<'a> {
    config: &'a ModelConfig,
    shapes: BTreeMap<&'a str, &'a [usize]>,
}

impl Expansion<'_> {
    fn is_met(&self, condition: Condition, found: &Match) -> bool {
        let has = |pattern: &str| {
            let path = pattern.replace("{i}", found.layer.unwrap_or_default());
            self.shapes.contains_key(path.as_str())
        };
        match condition {
            Condition::Always => true,
            Condition::With(pattern) => has(pattern),
            Condition::Without(pattern) => !has(pattern),
            Condition::PartNorms(expected) => {
                self.sublayers(found.layer()).any(|sublayer| sublayer.part_norm.is_some()) == expected
            }
        }
    }

    /// The bindings of a parameter that is number `index` of the entry's: one, or one for each expert or head.
    fn expand(&self, name: &Name, index: usize, parameter: &NamedParameter, found: &Match) -> Vec<Binding> {
        let end = name.ends.iter().find(|(ours, _)| *ours == found.end).map_or(found.end, |(_, theirs)| theirs);
        let tensor = format!("{}{end}", name.tensor.replace("{i}", found.layer.unwrap_or_default()));
        let mut binding = Binding::identity(&parameter.path, tensor);
        binding.rows = name.by_rows.then(|| self.head_rows(parameter, found.layer()));
        let shape = binding.viewed_shape(&parameter.shape);
        let is_matrix = shape.len() > 1 && found.end != ".bias";
        binding.layout.transposed = name.transposed && is_matrix;
        binding.layout.unit_axis = name.unit_axis.filter(|_| found.end != ".bias");
        binding.layout.map = name.map;
        let heads = self.head_counts(found.layer())[0];
        binding.layout.heads = (name.head_matrices && is_matrix).then_some(match name.transposed {
            true => HeadAxis::Rows(heads),
            false => HeadAxis::Columns(heads),
        });
        binding.layout.row_order = self.row_order(name, index, found).filter(|_| name.interleaved);
        let experts = if name.tensor.contains("{e}") { shape.first().copied() } else { None };
        if matches!(name.parameters, Parameters::Fused(_)) {
            let axis = self.output_axis(&binding, shape.len() - usize::from(experts.is_some()));
            binding.layout.slice = Some(self.fused_slice(name, index, found, axis));
        }
        match experts {
            None => vec![binding],
            Some(count) => (0..count).map(|expert| binding.clone().for_expert(expert, count)).collect(),
        }
    }

    /// The axis of the outputs in the file's tensor of this rank.
    fn output_axis(&self, binding: &Binding, rank: usize) -> usize {
        match binding.layout.transposed {
            true => rank - 2,
            false => rank - 1,
        }
    }

    /// The part of a fused tensor that is the parameter number `index`.
    fn fused_slice(&self, name: &Name, index: usize, found: &Match, axis: usize) -> Slice {
        let layer = found.layer.unwrap_or_default();
        let outputs = name.parameters.patterns().iter().map(|pattern| {
            let path = format!("{}{}", pattern.replace("{i}", layer), found.end);
            self.shapes.get(path.as_str()).and_then(|shape| shape.last().copied()).unwrap_or(0)
        });
        let groups = match name.fusion {
            Fusion::Sequential => 1,
            Fusion::ByHead => self.head_counts(found.layer())[1].max(1),
        };
        let widths: Vec<usize> = outputs.map(|width| width / groups).collect();
        let start = widths[..index].iter().sum();
        Slice { axis, groups, start, width: widths[index], group_size: widths.iter().sum() }
    }

    /// The order of the rows of q or k of a layer, if rotary pairs are adjacent in the file.
    fn row_order(&self, name: &Name, index: usize, found: &Match) -> Option<RowPermutation> {
        let [heads, kv_heads] = self.head_counts(found.layer());
        match name.parameters.patterns()[index].rsplit('.').next() {
            Some("q") => Some(RowPermutation { heads }),
            Some("k") => Some(RowPermutation { heads: kv_heads }),
            _ => None,
        }
    }

    /// Numbers of query heads and of key-value heads of the attention in a layer; 1 if it has none.
    fn head_counts(&self, layer: usize) -> [usize; 2] {
        match self.projection(layer) {
            Some(ProjectionConfig::Heads(heads)) => [heads.heads, heads.kv_heads.unwrap_or(heads.heads)],
            Some(ProjectionConfig::Latent(latent)) => [latent.heads, latent.heads],
            None => [1, 1],
        }
    }

    /// Number of the heads, or groups of a state-space model, that a parameter, a vector over all of them, consists of.
    fn head_rows(&self, parameter: &NamedParameter, layer: usize) -> usize {
        if let Some(groups) = self.state_space_groups(layer) {
            return groups;
        }
        let length: usize = parameter.shape.iter().product();
        let width = match self.projection(layer) {
            Some(ProjectionConfig::Heads(heads)) => heads.head_dim.unwrap_or(self.config.hidden / heads.heads.max(1)),
            _ => length,
        };
        length / width.max(1)
    }

    /// The projection of the first attention in a layer.
    fn projection(&self, layer: usize) -> Option<&ProjectionConfig> {
        self.sublayers(layer).flat_map(|sublayer| &sublayer.parts).find_map(|part| match part {
            PartConfig::Attention(attention) => Some(&attention.projection),
            _ => None,
        })
    }

    /// Number of the groups of the first state-space part in a layer.
    fn state_space_groups(&self, layer: usize) -> Option<usize> {
        self.sublayers(layer).flat_map(|sublayer| &sublayer.parts).find_map(|part| match part {
            PartConfig::Mamba2(mamba) => Some(mamba.groups),
            _ => None,
        })
    }

    /// The sublayers of a layer.
    fn sublayers(&self, layer: usize) -> impl Iterator<Item = &SublayerConfig> {
        let blocks = self.config.blocks.iter().flat_map(|block| repeat_n(block, block.repeat));
        blocks.skip(layer).take(1).flat_map(|block| &block.sublayers)
    }
}
