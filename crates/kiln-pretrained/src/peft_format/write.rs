//! Adapters of a model in PEFT's format.

use super::{
    PeftFormatError,
    axes::AxisLengths,
    base_modules::{BaseModules, Part, Target},
    fused::{PartAdapter, fuse},
    method::{AdapterData, METHODS, Method, Neutral, TensorRow, TensorScope},
    rank_masks::leave_out_zeros,
    saved_modules::SavedModules,
    tensor_names::tensor_name,
    write_config::{WrittenAdapter, to_json},
};
use burn::tensor::TensorData;
use kiln_models::{Model, Stack, StateDict, for_each_param, hf::Family, parameters::ParamHandle};
use kiln_nn::{
    adapter::{AttachedAdapter, SiteKind},
    head::HeadConfig,
};
use kiln_spec::ValidationError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What to write of a model's adapters, and for which base model.
#[derive(Clone, Copy, Default)]
pub struct AdapterExport<'a> {
    /// The family that gives the names of layers. `None`: the first family that can hold the model.
    pub family: Option<&'a Family>,
    /// Value of `base_model_name_or_path`.
    pub base_name: Option<&'a str>,
    /// Name of the adapters. `None`: the only one that the model has.
    pub adapter: Option<&'a str>,
    /// The base model without adapters. Weights of the model that differ from its weights are written as `modules_to_save`.
    /// `None`: only adapters are written.
    pub base: Option<&'a Model>,
}

/// Returns the contents of `adapter_config.json` and the tensors of a model's adapters, enabled or not. `base_name` becomes
/// `base_model_name_or_path`; `family` is as for [`read_adapters`](super::read_adapters).
///
/// Adapters of layers that the family has as one fused layer become one adapter of that layer, of the sum of their ranks
/// unless they have the same A.
///
/// # Errors
/// If the model has no adapters, or adapters of several names, no family can hold it, or the format has no counterpart for an
/// adapter.
pub async fn write_adapters(
    model: &Model,
    family: Option<&Family>,
    base_name: Option<&str>,
) -> Result<(Value, StateDict), PeftFormatError> {
    write_adapters_with(model, &AdapterExport { family, base_name, ..AdapterExport::default() }).await
}

/// Returns the contents of a folder. Otherwise as [`write_adapters`].
///
/// # Errors
/// As [`write_adapters`]; if the model has no adapter of the name; or if weights differ from those of the base model that a
/// folder cannot hold beside the adapters.
pub async fn write_adapters_with(
    model: &Model,
    export: &AdapterExport<'_>,
) -> Result<(Value, StateDict), PeftFormatError> {
    let base_modules = BaseModules::new(model.config(), export.family)?;
    let name = match export.adapter {
        Some(name) => name,
        None => only_name(model)?,
    };
    let mut adapters = NamedAdapters::new(model, name)?;
    let method = adapters.method()?;
    let mut written = Vec::new();
    for target in base_modules.written_targets() {
        let parts = adapters.take(method, target).await?;
        if !parts.is_empty() {
            written.push((target, fuse(method, target, parts)?));
        }
    }
    adapters.finish(&base_modules)?;
    leave_out_zeros(method, &mut written);
    let targets: Vec<&Target> = written.iter().map(|(target, _)| *target).collect();
    let described: Vec<WrittenAdapter> =
        written.iter().map(|(target, parts)| WrittenAdapter::new(method, target, &parts[0])).collect();
    let mut file = WrittenFile::new(described.iter().map(WrittenAdapter::lengths));
    for (target, parts) in &written {
        let module = base_modules.name_in_file(target, &targets);
        file.add(&adapters, method, target, (&module, parts)).await?;
    }
    let saved = match export.base {
        Some(base) => SavedModules::find(model, base, &base_modules, &targets).await?,
        None => SavedModules::default(),
    };
    let config = to_json(method, &described, &base_modules, (task_type(model), export.base_name, saved.names))?;
    let mut tensors = file.finish();
    tensors.extend(saved.tensors);
    Ok((config, tensors))
}

/// The name that all adapters of a model have.
fn only_name(model: &Model) -> Result<&str, ValidationError> {
    let names: BTreeSet<&str> = model.adapters().values().flatten().map(|adapter| adapter.name.as_str()).collect();
    let error = |reason: String| ValidationError::new("adapter", reason);
    match names.iter().copied().collect::<Vec<_>>()[..] {
        [] => Err(error("the model has no adapters".into()).with_suggestion("attach them first")),
        [name] => Ok(name),
        ref names => {
            let reason = format!("a folder holds the adapters of one name, found {}", names.join(", "));
            Err(error(reason).with_suggestion("write each by its name (write_adapters_with)"))
        }
    }
}

/// The adapters of one name, by the paths of their sites, and the handles of all parameters.
struct NamedAdapters {
    attached: BTreeMap<String, AttachedAdapter>,
    handles: BTreeMap<String, ParamHandle>,
}

impl NamedAdapters {
    fn new(model: &Model, name: &str) -> Result<Self, ValidationError> {
        let mut attached = BTreeMap::new();
        for (path, adapters) in model.adapters() {
            let found = adapters.iter().find(|adapter| adapter.name == name);
            attached.extend(found.map(|adapter| (path.clone(), adapter.clone())));
        }
        if attached.is_empty() {
            return Err(ValidationError::new("adapter", format!("the model has no adapter named `{name}`")));
        }
        let mut handles = BTreeMap::new();
        for_each_param(model, |param| {
            handles.insert(param.name(), param.handle());
        });
        Ok(Self { attached, handles })
    }

    /// The method of the adapters.
    fn method(&self) -> Result<&'static Method, ValidationError> {
        let (path, first) = self.attached.first_key_value().expect("there are adapters");
        let sites = [SiteKind::Linear, SiteKind::Embedding, SiteKind::Stacked, SiteKind::Tokens];
        let has_form = |method: &&&Method| sites.iter().any(|site| (method.describe)(&first.spec, *site).is_some());
        METHODS.iter().find(has_form).copied().ok_or_else(|| {
            let reason = format!("PEFT's format has no counterpart in Kiln for {}", first.spec.name());
            ValidationError::new(path.as_str(), reason)
        })
    }

    /// Removes and returns the adapters of the parts of a module, with their values.
    async fn take<'a>(&mut self, method: &Method, target: &'a Target) -> Result<Vec<PartAdapter<'a>>, PeftFormatError> {
        let mut found = Vec::new();
        for part in &target.parts {
            let Some(attached) = self.attached.remove(&part.path) else { continue };
            let Some(described) = (method.describe)(&attached.spec, target.kind()) else {
                let reason = format!("{} is not supported here by {}", attached.spec.name(), method.peft_type);
                return Err(ValidationError::new(part.path.as_str(), reason).into());
            };
            method.check_parts(target)?;
            let mut values = AdapterData::new();
            for row in described.tensors {
                let name = format!("{}.{}.{}", part.path, attached.path(), row.parameter);
                values.insert(row.name, self.read(&name).await?);
            }
            found.push(PartAdapter { part, spec: attached.spec, values, mask: None });
        }
        Ok(found)
    }

    /// Reads a parameter from the device.
    async fn read(&self, name: &str) -> Result<TensorData, PeftFormatError> {
        let handle = self.handles.get(name).unwrap_or_else(|| unreachable!("the model has no parameter {name}"));
        handle.value_async().await.map_err(PeftFormatError::Device)
    }

    /// Refuses adapters that no module of the family has.
    fn finish(&self, base: &BaseModules) -> Result<(), ValidationError> {
        let Some(site) = self.attached.keys().next() else { return Ok(()) };
        let reason = format!("the Hugging Face family `{}` has no layer for this adapter", base.family());
        let error = ValidationError::new(site.as_str(), reason);
        Err(error.with_suggestion("merge the adapters and export with --format hf"))
    }
}

/// Tensors of a weight file.
struct WrittenFile {
    tensors: StateDict,
    /// Tensors that the file has once: the values that the adapters have given so far.
    shared: BTreeMap<&'static str, (&'static TensorRow, Vec<Option<f32>>)>,
    /// The lengths of their axes: the greatest of all modules.
    lengths: AxisLengths,
}

impl WrittenFile {
    /// A file for adapters of modules with these lengths.
    fn new(modules: impl Iterator<Item = AxisLengths>) -> Self {
        let lengths = modules.fold(AxisLengths::default(), AxisLengths::max);
        Self { tensors: StateDict::new(), shared: BTreeMap::new(), lengths }
    }

    /// Adds the tensors of a module.
    async fn add(
        &mut self,
        adapters: &NamedAdapters,
        method: &Method,
        target: &Target,
        (module, parts): (&str, &[PartAdapter<'_>]),
    ) -> Result<(), PeftFormatError> {
        let described = parts[0].described(method, target);
        let lengths = target.lengths(described.rank);
        for row in described.tensors {
            if row.scope != TensorScope::Module {
                self.add_shared(row, parts)?;
                continue;
            }
            let mut values = vec![0.0; row.axes.file_shape(&lengths).iter().product()];
            for part in &target.parts {
                let data = match parts.iter().find(|adapter| adapter.part.path == part.path) {
                    Some(adapter) => adapter.values[row.name].clone(),
                    None if !row.axes.has('o') => continue,
                    None => neutral(adapters, target, part, row, &lengths).await?,
                };
                row.axes.insert(&data, &mut values, &lengths, &part.window());
            }
            let data = TensorData::new(values, row.axes.file_shape(&lengths));
            self.tensors.insert(tensor_name(module, row), data);
        }
        Ok(())
    }

    /// Adds what the adapters of a module have of a tensor that the file has once.
    ///
    /// # Errors
    /// If other adapters have other values in the same place.
    fn add_shared(&mut self, row: &'static TensorRow, parts: &[PartAdapter]) -> Result<(), ValidationError> {
        let count = row.axes.file_shape(&self.lengths).iter().product();
        let (_, values) = self.shared.entry(row.name).or_insert_with(|| (row, vec![None; count]));
        for adapter in parts {
            let positions = row.axes.positions(&self.lengths, &adapter.part.window());
            for (position, value) in positions.into_iter().zip(adapter.values[row.name].iter::<f32>()) {
                if values[position].replace(value).is_some_and(|other| other != value) {
                    let reason =
                        format!("all layers have parts of one `{}` in PEFT's format; this one has its own", row.name);
                    let error = ValidationError::new(adapter.part.path.as_str(), reason);
                    return Err(error.with_suggestion("merge the adapters and export with --format hf"));
                }
            }
        }
        Ok(())
    }

    /// All tensors.
    fn finish(mut self) -> StateDict {
        for (row, values) in self.shared.into_values() {
            let values = values.into_iter().map(Option::unwrap_or_default).collect::<Vec<f32>>();
            let data = TensorData::new(values, row.axes.file_shape(&self.lengths));
            self.tensors.insert(tensor_name("", row), data);
        }
        self.tensors
    }
}

/// The values of a row for a part without an adapter, with which the part computes what it does without.
async fn neutral(
    adapters: &NamedAdapters,
    target: &Target,
    part: &Part,
    row: &TensorRow,
    lengths: &AxisLengths,
) -> Result<TensorData, PeftFormatError> {
    let shape = row.axes.parameter_shape(lengths, &part.window());
    let constant = |value: f32| TensorData::new(vec![value; shape.iter().product()], shape.clone());
    match row.neutral {
        Neutral::Zero => Ok(constant(0.0)),
        Neutral::One => Ok(constant(1.0)),
        Neutral::ColumnNorm => {
            let weight = format!("{}.weight", part.path);
            if adapters.handles[&weight].packed().is_some() {
                let reason = format!("`{}` needs the norms of this weight, which is quantized", target.name);
                return Err(ValidationError::new(weight, reason).into());
            }
            let values: Vec<f64> = adapters.read(&weight).await?.iter::<f64>().collect();
            let columns = shape[0];
            let norm = |column: usize| values.iter().skip(column).step_by(columns).map(|x| x * x).sum::<f64>().sqrt();
            Ok(TensorData::new((0..columns).map(|column| norm(column) as f32).collect::<Vec<_>>(), shape))
        }
    }
}

/// The value of `task_type`: the kind of model that PEFT loads the base model as.
fn task_type(model: &Model) -> Option<&'static str> {
    match (model.config().stack, &model.config().head) {
        (Stack::Decoder, HeadConfig::Language(_)) => Some("CAUSAL_LM"),
        (Stack::EncoderDecoder, HeadConfig::Language(_)) => Some("SEQ_2_SEQ_LM"),
        _ => None,
    }
}
