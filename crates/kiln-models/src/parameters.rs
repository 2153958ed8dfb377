//! Parameters by name: place and role, without the names of variants. `blocks.7.attention.q.weight`.

pub use crate::{
    model_tensors::{ModelTensors, state_dict},
    state_dict::{WeightMismatch, load_state_dict},
};

use crate::model::Model;
use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    tensor::{Tensor, TensorData},
};
use std::collections::BTreeMap;

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedParameter {
    /// Its name.
    pub path: String,
    /// Burn's id of it: for this process alone.
    pub id: ParamId,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// What holds an adapter: its method has a name of its own among the parameters.
const ADAPTER_CONTAINER: &str = "Enum:AnyAdapter";

/// Names along a walk through a model.
#[derive(Clone, Debug, Default)]
pub struct ParameterPath {
    path: Vec<String>,
    /// Of each block, by sublayer: those of the model, and those of its encoder.
    roles: [Vec<Vec<Vec<String>>>; 2],
}

impl ParameterPath {
    /// A walk through this model.
    pub fn for_model(model: &Model) -> Self {
        let owned = |block: &crate::block::Block| block.roles().into_iter().map(<[String]>::to_vec).collect();
        let encoder = model.encoder().map_or_else(Vec::new, |encoder| encoder.blocks().iter().map(owned).collect());
        Self { path: Vec::new(), roles: [model.blocks().iter().map(owned).collect(), encoder] }
    }

    /// A walk through something else that stands at `path`.
    pub fn rooted_at(path: &str) -> Self {
        Self { path: vec![path.to_owned()], ..Self::default() }
    }

    /// Into a field; enum variants are no place, but for the methods of adapters.
    pub fn enter(&mut self, name: &str, container: &str) {
        if container == ADAPTER_CONTAINER {
            self.path.push(name.to_lowercase());
        } else if !container.starts_with("Enum:") {
            self.path.push(name.to_string());
        }
    }

    /// Out of a field.
    pub fn exit(&mut self, container: &str) {
        if container == ADAPTER_CONTAINER || !container.starts_with("Enum:") {
            self.path.pop();
        }
    }

    /// The name here.
    pub fn name(&self) -> String {
        let fields: Vec<&str> = self.path.iter().map(String::as_str).filter(|field| *field != "adapter").collect();
        let Some((block, rest)) = split_block_path(&fields) else { return fields.join(".") };
        let index: usize = fields[block].parse().unwrap_or_default();
        let roles = &self.roles[usize::from(fields[0] == "encoder")];
        let role = |s: &str, p: &str| {
            let at = s.parse::<usize>().ok().zip(p.parse::<usize>().ok());
            at.and_then(|(s, p)| roles.get(index)?.get(s)?.get(p)).map_or("part", String::as_str)
        };
        let before = fields[..=block].join(".");
        match rest {
            ["sublayers", s, "junction", "norm", rest @ ..] | ["sublayers", s, "junction", rest @ ..] => {
                format!("{before}.{}_norm.{}", role(s, "0"), rest.join("."))
            }
            ["sublayers", s, "parts", p, rest @ ..] => {
                let rest: Vec<&str> = rest.iter().copied().filter(|field| *field != "projection").collect();
                format!("{before}.{}.{}", role(s, p), rest.join("."))
            }
            rest => format!("{before}.{}", rest.join(".")),
        }
    }
}

fn split_block_path<'a>(fields: &'a [&'a str]) -> Option<(usize, &'a [&'a str])> {
    let block = fields.iter().position(|f| *f == "blocks")? + 1;
    Some((block, fields.get(block + 1..)?))
}

/// Every parameter, in the order of the walk.
pub fn named_parameters(model: &Model) -> Vec<NamedParameter> {
    struct CollectNames(ParameterPath, Vec<NamedParameter>);
    impl ModuleVisitor for CollectNames {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, container: &str) {
            self.0.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push(NamedParameter { path: self.0.name(), id: param.id, shape: param.lazy_shape().to_vec() });
        }
    }
    let mut names = CollectNames(ParameterPath::for_model(model), Vec::new());
    model.visit(&mut names);
    names.1
}

/// Values by name.
pub type StateDict = BTreeMap<String, TensorData>;
