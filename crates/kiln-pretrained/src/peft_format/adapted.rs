//! The adapters of a weight file, each with what it is attached to and the tensors that it must have.

use super::{
    PeftFormatError,
    adapter_config::PeftConfig,
    adapter_file::AdapterFile,
    axes::AxisLengths,
    base_modules::{BaseModules, Target},
    method::{Described, TensorScope},
    rank_masks::kept_count,
    tensor_names::tensor_name,
};
use kiln_models::{WeightMismatch, tensors::TensorSource};
use kiln_nn::adapter::{AdapterSpec, SiteKind};
use kiln_spec::ValidationError;

/// The adapter of one module or parameter of the base model.
pub(super) struct Adapted<'a> {
    /// The module as the file names it; for a parameter, that of its wrapper.
    pub module: &'a str,
    pub target: &'a Target,
    pub spec: AdapterSpec,
    /// Its tensors in the file.
    pub described: Described,
    /// The indices of the rank that the file has; `None`: all.
    pub mask: Option<Vec<bool>>,
}

impl Adapted<'_> {
    /// The lengths of the axes of its tensors in the file.
    pub fn lengths(&self) -> AxisLengths {
        self.target.lengths(self.described.rank)
    }
}

/// The adapters of a file that belong to sites of Kiln, and the names of other modules with tensors of adapters: the output
/// matrix, modules that the model lacks.
///
/// # Errors
/// If an adapter has no form at its site, or lacks tensors or has others.
pub(super) fn resolve<'a>(
    file: &'a AdapterFile,
    config: &PeftConfig,
    base: &'a BaseModules,
) -> Result<(Vec<Adapted<'a>>, Vec<&'a str>), PeftFormatError> {
    let (mut adapted, mut others) = (Vec::new(), Vec::new());
    let mut mismatch = WeightMismatch::default();
    let of_file = (file.modules.is_empty() && !file.shared.is_empty()).then(|| ("", base.tokens()));
    for name in file.modules.keys() {
        match base.find_target(name, &config.modules).filter(|target| !is_tied_weight(target, config, base)) {
            Some(target) => adapted.push((name.as_str(), target)),
            None => others.push(name.as_str()),
        }
    }
    let mut resolved = Vec::new();
    for (module, target) in adapted.into_iter().chain(of_file) {
        let spec = config.spec_for(&target.name, target.kind()).map_err(PeftFormatError::Config)?;
        config.method.check_parts(target)?;
        let mut described = (config.method.describe)(&spec, target.kind()).expect("a spec of the method");
        let mask = config.masks.of(&target.name, described.rank).map_err(PeftFormatError::Config)?;
        let mask = mask.map(<[bool]>::to_vec);
        described.rank = mask.as_deref().map_or(described.rank, kept_count);
        check_options(file, module, config, &described)?;
        let found = file.compare(module, described.tensors);
        mismatch.missing_keys.extend(found.missing_keys);
        mismatch.unexpected_keys.extend(found.unexpected_keys);
        resolved.push(Adapted { module, target, spec, described, mask });
    }
    // Tensors of the whole file that are made from a seed may be absent.
    if (config.method.seeded)(config, &AxisLengths::default()).is_some() {
        let shared = config.method.tensors.iter().copied().flatten().filter(|row| row.scope != TensorScope::Module);
        let names: Vec<String> = shared.map(|row| tensor_name("", row)).collect();
        mismatch.missing_keys.retain(|name| !names.contains(name));
    }
    mismatch.missing_keys.dedup();
    if mismatch == WeightMismatch::default() { Ok((resolved, others)) } else { Err(mismatch.into()) }
}

/// Refuses tensors of an option that is switched off, and an option whose tensors are missing, by the option.
fn check_options(
    file: &AdapterFile,
    module: &str,
    config: &PeftConfig,
    described: &Described,
) -> Result<(), PeftFormatError> {
    let Some(tensors) = file.modules.get(module) else { return Ok(()) };
    let rows = config.method.tensors.iter().copied().flatten();
    for (row, option) in rows.filter_map(|row| Some((row, row.option?))) {
        let is_used = described.tensors.iter().any(|other| other.name == row.name);
        let reason = match tensors.get(row.name) {
            Some(tensor) if !is_used => format!("the file has the tensor `{tensor}`, which needs {option} = true"),
            None if is_used => format!("the adapter of `{module}` has no `{}`, which {option} = true needs", row.name),
            _ => continue,
        };
        return Err(PeftFormatError::Config(ValidationError::new(option, reason)));
    }
    Ok(())
}

/// Whether the adapter of an embedding changes the output matrix too, so that it is added to the weight of both.
fn is_tied_weight(target: &Target, config: &PeftConfig, base: &BaseModules) -> bool {
    target.kind() == SiteKind::Embedding && config.ties_weights() && base.tensors_of(&target.parts[0].path).len() > 1
}

/// The lengths of the axes of the tensors that the file has once: the greatest of all adapters.
pub(super) fn shared_lengths(adapted: &[Adapted]) -> AxisLengths {
    adapted.iter().map(Adapted::lengths).fold(AxisLengths::default(), AxisLengths::max)
}

/// Compares the shapes of the adapters' tensors with those expected, and lists all differences.
///
/// # Errors
/// If a tensor has another shape.
pub(super) fn check_shapes(
    adapted: &[Adapted],
    file: &AdapterFile,
    tensors: &dyn TensorSource,
) -> Result<(), WeightMismatch> {
    let mut mismatch = WeightMismatch::default();
    let shared = shared_lengths(adapted);
    for adapter in adapted {
        for row in adapter.described.tensors {
            let Some(name) = file.tensor(adapter.module, row) else { continue };
            let Some(entry) = tensors.entries().get(name) else { continue };
            let expected = match row.scope {
                TensorScope::Module => row.axes.file_shape(&adapter.lengths()),
                TensorScope::File(_) => row.axes.file_shape(&shared),
            };
            if entry.shape != expected && mismatch.mismatched_shapes.iter().all(|(other, ..)| other != name) {
                mismatch.mismatched_shapes.push((name.clone(), expected, entry.shape.clone()));
            }
        }
    }
    if mismatch == WeightMismatch::default() { Ok(()) } else { Err(mismatch) }
}
