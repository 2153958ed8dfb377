//! Parameters by name: place and role, without the names of variants. `blocks.7.attention.q.weight`.

use crate::model::Model;
use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{ExecutionError, Tensor, TensorData},
};
use std::{collections::BTreeMap, pin::Pin};

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// Its name.
    pub path: String,
    /// Burn's id of it: for this process alone.
    pub id: ParamId,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// What holds an adapter: its method has a name of its own among the parameters.
const ADAPTER: &str = "Enum:Adapter";

/// Names along a walk through a model.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    path: Vec<String>,
    /// Of each block, by sublayer: those of the model, and those of its encoder.
    roles: [Vec<Vec<Vec<String>>>; 2],
}

impl Walk {
    /// A walk through this model.
    pub fn of(model: &Model) -> Self {
        let owned = |block: &crate::block::Block| block.roles().into_iter().map(<[String]>::to_vec).collect();
        let encoder = model.encoder().map_or_else(Vec::new, |encoder| encoder.blocks().iter().map(owned).collect());
        Self { path: Vec::new(), roles: [model.blocks().iter().map(owned).collect(), encoder] }
    }

    /// A walk through something else that stands at `path`.
    pub fn at(path: &str) -> Self {
        Self { path: vec![path.to_owned()], ..Self::default() }
    }

    /// Into a field; enum variants are no place, but for the methods of adapters.
    pub fn enter(&mut self, name: &str, container: &str) {
        if container == ADAPTER {
            self.path.push(name.to_lowercase());
        } else if !container.starts_with("Enum:") {
            self.path.push(name.to_string());
        }
    }

    /// Out of a field.
    pub fn exit(&mut self, container: &str) {
        if container == ADAPTER || !container.starts_with("Enum:") {
            self.path.pop();
        }
    }

    /// The name here.
    pub fn name(&self) -> String {
        let fields: Vec<&str> = self.path.iter().map(String::as_str).filter(|field| *field != "adapter").collect();
        let Some((block, rest)) = split(&fields) else { return fields.join(".") };
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

fn split<'a>(fields: &'a [&'a str]) -> Option<(usize, &'a [&'a str])> {
    let block = fields.iter().position(|f| *f == "blocks")? + 1;
    Some((block, fields.get(block + 1..)?))
}

/// Every parameter, in the order of the walk.
pub fn names(model: &Model) -> Vec<Name> {
    struct Names(Walk, Vec<Name>);
    impl ModuleVisitor for Names {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, container: &str) {
            self.0.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push(Name { path: self.0.name(), id: param.id, shape: param.shape().to_vec() });
        }
    }
    let mut names = Names(Walk::of(model), Vec::new());
    model.visit(&mut names);
    names.1
}

/// Values by name.
pub type Values = BTreeMap<String, TensorData>;

/// Numbers that are on their way from the device.
type Reading = Pin<Box<dyn Future<Output = Result<TensorData, ExecutionError>> + Send>>;

/// Every parameter's values: for checkpoints, not for steps.
///
/// # Errors
/// If the device fails.
pub async fn values(model: &Model) -> Result<Values, ExecutionError> {
    struct Collect(Walk, Vec<(String, Reading)>);
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, container: &str) {
            self.0.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push((self.0.name(), Box::pin(param.val().into_data_async())));
        }
    }
    let mut collect = Collect(Walk::of(model), Vec::new());
    model.visit(&mut collect);
    let mut values = Values::new();
    for (name, reading) in collect.1 {
        values.insert(name, reading.await?);
    }
    Ok(values)
}

/// What a file's tensors and a model's parameters don't agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.diff())]
pub struct Mismatch {
    /// Parameters that the file lacks.
    pub missing: Vec<String>,
    /// Tensors that the model lacks.
    pub unexpected: Vec<String>,
    /// Tensors of another shape: name, expected, found.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty()
    }

    /// Like a diff: `-` missing, `+` unexpected, `~` of another shape.
    pub fn diff(&self) -> String {
        let missing = self.missing.iter().map(|n| format!("- {n}"));
        let unexpected = self.unexpected.iter().map(|n| format!("+ {n}"));
        let shapes = self.shapes.iter().map(|(n, want, have)| format!("~ {n}: expected {want:?}, found {have:?}"));
        let lines: Vec<String> = missing.chain(unexpected).chain(shapes).collect();
        format!("tensors don't fit the model:\n{}", lines.join("\n"))
    }
}

/// The model with these values.
///
/// # Errors
/// Unless every parameter has its tensor, in its shape, and no tensor is left over.
pub fn filled(model: Model, mut values: Values) -> Result<Model, Mismatch> {
    let mut mismatch = Mismatch::default();
    for name in names(&model) {
        match values.get(&name.path) {
            None => mismatch.missing.push(name.path),
            Some(data) if data.shape().to_vec() != name.shape => {
                mismatch.shapes.push((name.path, name.shape, data.shape().to_vec()));
            }
            Some(_) => {}
        }
    }
    let known: std::collections::HashSet<String> = names(&model).into_iter().map(|n| n.path).collect();
    mismatch.unexpected = values.keys().filter(|n| !known.contains(*n)).cloned().collect();
    if !mismatch.is_empty() {
        return Err(mismatch);
    }
    let walk = Walk::of(&model);
    Ok(model.map(&mut Fill(walk, &mut values)))
}

struct Fill<'a>(Walk, &'a mut Values);

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        self.0.exit(container);
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(data) = self.1.remove(&self.0.name()) else { return param };
        param.map(|old| {
            let new = Tensor::from_data(data, (&old.device().without_autodiff(), old.dtype()));
            if old.is_autodiff() { new.autodiff().require_grad() } else { new }
        })
    }
}
