//! The bindings of a model's parameters, from a family's table of names.

use super::{Condition, Fusion, Name, Parameters};
use crate::{
    config::{ModelConfig, SublayerConfig},
    hf::{
        binding::{Binding, HeadAxis, Slice},
        row_permutation::RowPermutation,
    },
    model::Model,
    parameters::{NamedParameter, named_parameters},
};
use kiln_nn::part::{PartConfig, attention::ProjectionConfig};
use std::{collections::BTreeMap, iter::repeat_n};

/// The bindings of the parameters of a model, in the order of the table. Several bindings of a parameter are alternatives, or
/// parts of a stacked parameter. `prefix` stands for `{prefix}` in the names of tensors.
pub(in crate::hf) fn bindings(names: &[&[Name]], prefix: &str, config: &ModelConfig) -> Vec<Binding> {
    let outline = Model::without_weights(config);
    let parameters = named_parameters(&outline);
    let expansion = Expansion {
        config,
        prefix,
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
    prefix: &'a str,
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
        let tensor = name.tensor.replace("{prefix}", self.prefix).replace("{i}", found.layer.unwrap_or_default());
        let tensor = format!("{tensor}{end}");
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
        let outputs: Vec<usize> = outputs.collect();
        let groups = match name.fusion {
            Fusion::Sequential => 1,
            Fusion::ByHead => self.head_counts(found.layer())[1].max(1),
            Fusion::Alternating => outputs[index].max(1),
        };
        let widths: Vec<usize> = outputs.iter().map(|width| width / groups).collect();
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
