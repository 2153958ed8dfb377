//! Names of parameters: `blocks.7.attention.q.weight`.
//!
//! Burn walks a module field by field: `blocks`, `7`, `sublayers`, `0`, `parts`, `0`, `projection`, `q`, `weight`. A
//! parameter's name keeps the block's number and replaces the fields inside the block by the role of the part
//! (`attention`, `feed_forward`), so that names stay the same when another variant of a part is configured. Parameters of an
//! adapter are named by its site, its method and, unless it is the default one, its name:
//! `blocks.7.attention.q.lora.a`, `blocks.7.attention.q.lora.french.a`.

use crate::{block::Block, model::Model};
use kiln_nn::adapter::{AnyAdapter, DEFAULT_ADAPTER};
use std::collections::BTreeMap;

/// Burn's name for the enum of adapter methods. The methods of its variants are part of a parameter's name (`lora`), those of other
/// enums are not.
const ADAPTER_ENUM: &str = "Enum:AnyAdapter";

/// The field of a module that holds the adapters of its own site, and the end of the field of another site's adapters.
const ADAPTERS_FIELD: &str = "adapters";
const SITE_ADAPTERS_END: &str = "_adapters";

/// Position of a walk through a module, from which names are made.
#[derive(Clone, Debug, Default)]
pub(super) struct ParameterPath {
    fields: Vec<Field>,
    /// Roles of the parts by block, sublayer and part: those of the model's own blocks, and those of its encoder's.
    roles: [Vec<Vec<Vec<String>>>; 2],
    /// Names of the adapters of each site.
    adapter_names: BTreeMap<String, Vec<String>>,
}

/// A level of a module tree: a struct's field, an element's index or an adapter's method.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    is_adapter_method: bool,
}

impl ParameterPath {
    /// The start of a walk through this model.
    pub(super) fn for_model(model: &Model) -> Self {
        let encoder_blocks = model.encoder().map(|encoder| encoder.blocks()).unwrap_or_default();
        let roles = [model.blocks(), encoder_blocks].map(|blocks| blocks.iter().map(block_roles).collect());
        let names = model.adapters().iter().map(|(site, adapters)| {
            (site.clone(), adapters.iter().map(|adapter| adapter.name.clone()).collect::<Vec<_>>())
        });
        Self { fields: Vec::new(), roles, adapter_names: names.collect() }
    }

    /// The start of a walk through a part of a model whose name is `root`.
    pub(super) fn rooted_at(root: &str) -> Self {
        let root = Field { name: root.to_owned(), is_adapter_method: false };
        Self { fields: vec![root], ..Self::default() }
    }

    /// Steps into a field of a struct, an element of a list or a variant of an enum; variants other than adapter methods
    /// add no level.
    pub(super) fn enter(&mut self, name: &str, container: &str) {
        if container == ADAPTER_ENUM {
            let method = AnyAdapter::method_of_variant(name).unwrap_or(name);
            self.fields.push(Field { name: method.to_owned(), is_adapter_method: true });
        } else if !container.starts_with("Enum:") {
            self.fields.push(Field { name: name.to_owned(), is_adapter_method: false });
        }
    }

    /// Steps back out of what [`enter`](Self::enter) stepped into.
    pub(super) fn exit(&mut self, container: &str) {
        if container == ADAPTER_ENUM || !container.starts_with("Enum:") {
            self.fields.pop();
        }
    }

    /// The fields joined by dots, without adapter methods.
    pub(super) fn field_path(&self) -> String {
        let fields = self.fields.iter().filter(|field| !field.is_adapter_method);
        fields.map(|field| field.name.as_str()).collect::<Vec<_>>().join(".")
    }

    /// The parameter's name.
    pub(super) fn name(&self) -> String {
        let fields: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        let is_list = |end: &usize| fields[*end] == "list" && fields[*end - 1].ends_with(ADAPTERS_FIELD);
        let Some(list) = (1..fields.len()).find(is_list) else { return self.join(&fields) };
        let (site, [index, method, rest @ ..]) = (site_fields(&fields[..list]), &fields[list + 1..]) else {
            return self.join(&fields);
        };
        let site = self.join(&site);
        let name = index.parse::<usize>().ok().and_then(|index| self.adapter_names.get(&site)?.get(index));
        let name = name.filter(|name| *name != DEFAULT_ADAPTER).map(String::as_str);
        [site.as_str(), *method].into_iter().chain(name).chain(rest.iter().copied()).collect::<Vec<_>>().join(".")
    }

    /// The name of the module or parameter with these fields.
    fn join(&self, fields: &[&str]) -> String {
        let Some((block, rest)) = split_block_path(fields) else { return fields.join(".") };
        let index: usize = fields[block].parse().unwrap_or_default();
        let roles = self.roles[usize::from(fields[0] == "encoder")].get(index);
        let prefix = fields[..=block].join(".");
        match rest {
            ["sublayers", s, "junction", "norm", rest @ ..] | ["sublayers", s, "junction", rest @ ..] => {
                format!("{prefix}.{}_norm.{}", role(roles, s, "0"), rest.join("."))
            }
            ["sublayers", s, "streams", "mixing", rest @ ..] => {
                format!("{prefix}.{}_streams.{}", role(roles, s, "0"), rest.join("."))
            }
            ["sublayers", s, "part_norms", p, rest @ ..] => {
                format!("{prefix}.{}_norm.{}", role(roles, s, p), rest.join("."))
            }
            ["sublayers", s, "parts", p, rest @ ..] => {
                let rest: Vec<&str> = rest.iter().copied().filter(|field| *field != "projection").collect();
                format!("{prefix}.{}.{}", role(roles, s, p), rest.join("."))
            }
            rest => format!("{prefix}.{}", rest.join(".")),
        }
    }
}

/// The fields of a site, from the fields that lead to its adapters: `adapters` is left out, `embedding_adapters` is `embedding`.
fn site_fields<'a>(fields: &[&'a str]) -> Vec<&'a str> {
    match fields {
        [module @ .., ADAPTERS_FIELD] => module.to_vec(),
        [module @ .., last] => {
            module.iter().copied().chain([last.strip_suffix(SITE_ADAPTERS_END).unwrap_or(last)]).collect()
        }
        [] => Vec::new(),
    }
}

/// Roles of a block's parts by sublayer and part.
fn block_roles(block: &Block) -> Vec<Vec<String>> {
    block.roles().into_iter().map(<[String]>::to_vec).collect()
}

/// The role of part `part` of sublayer `sublayer`, both decimal.
fn role<'a>(roles: Option<&'a Vec<Vec<String>>>, sublayer: &str, part: &str) -> &'a str {
    let part = || roles?.get(sublayer.parse::<usize>().ok()?)?.get(part.parse::<usize>().ok()?);
    part().map_or("part", String::as_str)
}

/// The position of the block's number and the fields after it, if the path leads into a block.
fn split_block_path<'f, 'a>(fields: &'f [&'a str]) -> Option<(usize, &'f [&'a str])> {
    let block = fields.iter().position(|field| *field == "blocks")? + 1;
    Some((block, fields.get(block + 1..)?))
}
