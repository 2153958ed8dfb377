//! Adapter methods of PEFT's format, one table each: keys of `adapter_config.json` and tensors of the weight file.
//!
//! To add a method: a file in `method/` with its table, its `mod` line and its entry in [`METHODS`].

mod adalora;
mod ia3;
mod lora;
mod prompt_tuning;
mod vera;

use super::{
    adapter_config::PeftConfig,
    axes::{Arrangement, AxisLengths},
    base_modules::Target,
    keys::{Key, MERGE_SUGGESTION},
};
use burn::tensor::TensorData;
use kiln_nn::adapter::{AdapterSpec, SiteKind};
use kiln_spec::ValidationError;
use serde_json::Value;
use std::collections::BTreeMap;

/// The methods that Kiln reads and writes.
pub(super) const METHODS: &[&Method] =
    &[&lora::METHOD, &ia3::METHOD, &vera::METHOD, &prompt_tuning::METHOD, &adalora::METHOD];

/// A method: its keys, its tensors, and how the keys and Kiln's hyperparameters follow from each other.
pub(super) struct Method {
    /// The value of `peft_type`.
    pub peft_type: &'static str,
    /// The keys, besides those that all methods have.
    pub keys: &'static [Key],
    /// The lists of tensors that adapters of the method have. Which one an adapter has depends on its hyperparameters and
    /// its site.
    pub tensors: &'static [&'static [TensorRow]],
    /// Keys that hold the names of some of the modules, besides `target_modules`.
    pub module_lists: &'static [&'static str],
    /// Tensors of options that Kiln lacks, and the options.
    pub unsupported_tensors: &'static [(&'static str, &'static str)],
    /// The hyperparameters of the adapter of a module.
    pub spec: fn(&PeftConfig, &str, SiteKind) -> Result<AdapterSpec, ValidationError>,
    /// How an adapter is written; `None` if it is of another method.
    pub describe: fn(&AdapterSpec, SiteKind) -> Option<Described>,
    /// Tensors of the whole file that may be absent, made from a seed for layers of these sizes; `None` if they must be present.
    pub seeded: fn(&PeftConfig, &AxisLengths) -> Option<AdapterData>,
    /// The adapter of a fused module from those of its parts, which have different A. The function gives `None` if they differ
    /// too much, and is `None` if the parts must have the same.
    pub stack: Option<StackAdapters>,
    /// Whether an adapter of a fused module is an adapter of each of its parts.
    pub is_divisible: bool,
    /// The tensor of singular values: the file leaves out those that are 0, and `rank_pattern` says which it has.
    pub pruned: Option<&'static str>,
}

/// Makes the adapter of a fused module from those of its parts.
pub(super) type StackAdapters = fn(&[&AdapterSpec]) -> Option<Stacked>;

/// Tensors by the names of the table.
pub(super) type AdapterData = BTreeMap<&'static str, TensorData>;

/// How an adapter is written in PEFT's format.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// Length of the axis `r`.
    pub rank: usize,
    /// Values of keys.
    pub keys: Vec<(&'static str, Value)>,
    /// The `module_lists` of the method that its module is in.
    pub module_lists: &'static [&'static str],
    /// The tensors.
    pub tensors: &'static [TensorRow],
}

/// The adapter of a fused module whose rank is the sum of the ranks of its parts.
pub(super) struct Stacked {
    /// Its hyperparameters.
    pub spec: AdapterSpec,
    /// For each part, its rank.
    pub ranks: Vec<usize>,
    /// For each part, the factor of its B.
    pub factors: Vec<f64>,
}

/// A tensor of an adapter in the file, and the parameter that it is.
#[derive(Debug)]
pub(super) struct TensorRow {
    /// Name after that of the module.
    pub name: &'static str,
    /// The end of the name: `.weight` or nothing.
    pub end: &'static str,
    /// Name of the parameter in the adapter.
    pub parameter: &'static str,
    /// The axes of both.
    pub axes: Arrangement,
    /// Values for the outputs of a fused module that have no adapter.
    pub neutral: Neutral,
    /// Where the tensor is in the file.
    pub scope: TensorScope,
    /// The flag without which adapters do not have the tensor.
    pub option: Option<&'static str>,
}

/// A value with which an adapter changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neutral {
    Zero,
    One,
    /// The norm of the base weight's column.
    ColumnNorm,
}

/// Where a tensor is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TensorScope {
    /// In each module.
    Module,
    /// Once in the file, after this beginning of the name. Every adapter has a copy of its first inputs and outputs.
    File(&'static str),
}

impl TensorRow {
    /// A tensor of a module.
    const fn new(name: &'static str, end: &'static str, parameter: &'static str, axes: [&'static str; 2]) -> Self {
        let [file, of_parameter] = axes;
        let axes = Arrangement { file, parameter: of_parameter };
        Self { name, end, parameter, axes, neutral: Neutral::Zero, scope: TensorScope::Module, option: None }
    }

    /// With a neutral value other than 0.
    const fn neutral(self, neutral: Neutral) -> Self {
        Self { neutral, ..self }
    }

    /// Only with this flag.
    const fn with_option(self, option: &'static str) -> Self {
        Self { option: Some(option), ..self }
    }

    /// One for the whole file.
    const fn in_file(self, beginning: &'static str) -> Self {
        Self { scope: TensorScope::File(beginning), ..self }
    }
}

impl Method {
    /// Whether the table has a key.
    pub fn has_key(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.names().contains(&name))
    }

    /// Refuses a fused module whose adapter cannot be one of each part.
    ///
    /// # Errors
    /// If it is one.
    pub fn check_parts(&self, target: &Target) -> Result<(), ValidationError> {
        if self.is_divisible || target.parts.len() == 1 {
            return Ok(());
        }
        let parts = target.parts.iter().map(|part| part.path.as_str()).collect::<Vec<_>>().join(", ");
        let reason = format!("{} of a layer that fuses several ({parts}) is not supported", self.peft_type);
        Err(ValidationError::new(&target.name, reason).with_suggestion(MERGE_SUGGESTION))
    }

    /// The first row with this name.
    pub fn row(&self, name: &str) -> Option<&'static TensorRow> {
        self.tensors.iter().copied().flatten().find(|row| row.name == name)
    }
}

/// The method with this `peft_type`.
///
/// # Errors
/// If Kiln lacks it.
pub(super) fn find(peft_type: &str) -> Result<&'static Method, ValidationError> {
    METHODS.iter().copied().find(|method| method.peft_type == peft_type).ok_or_else(|| {
        let supported = METHODS.iter().map(|method| method.peft_type).collect::<Vec<_>>().join(", ");
        let error = ValidationError::new("peft_type", format!("unsupported adapter type `{peft_type}`"));
        error.with_suggestion(format!("supported: {supported}; {MERGE_SUGGESTION}"))
    })
}

/// Refuses a method at a site that PEFT's format has no form for.
fn unsupported_site(module: &str, method: &str, site: SiteKind) -> ValidationError {
    ValidationError::new(module, format!("{method} is not supported for this module ({site})"))
}
