//! Whether an adapter file changes a token embedding and an output matrix separately that the base model ties together.

use super::{PeftFormatError, adapter_config::PeftConfig, adapter_file::AdapterFile, base_modules::BaseModules};
use kiln_models::{Model, hf::Family, tensors::TensorSource};
use kiln_nn::head::HeadConfig;
use kiln_spec::ValidationError;

/// The names of a model's modules as if its head were not tied; `None` if it is not.
///
/// # Errors
/// If no family can hold the model.
pub(super) fn untied_base(model: &Model, family: Option<&Family>) -> Result<Option<BaseModules>, ValidationError> {
    let mut config = model.config().clone();
    match &mut config.head {
        HeadConfig::Language(head) if head.tied => head.tied = false,
        _ => return Ok(None),
    }
    BaseModules::new(&config, family).map(Some)
}

/// What a file has for each of the two tied weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Ownership {
    /// The embedding has rows or a weight of its own, or a LoRA that is tied to the head's.
    embedding: bool,
    /// The output matrix has.
    head: bool,
    /// Both have a weight, with the same values.
    is_equal: bool,
    /// PEFT gives the two the same values.
    is_shared: bool,
    /// The tensor of a weight that PEFT stores in both, by the name in the file.
    shared_weight: Option<String>,
}

impl Ownership {
    /// Whether the two weights differ with the file's contents.
    pub fn needs_untied_head(&self) -> bool {
        match (self.embedding, self.head) {
            (false, false) => false,
            (true, true) => !self.is_equal,
            _ => !self.is_shared,
        }
    }

    /// The model with an output matrix of its own. Both have the file's weight, if it is stored in both.
    ///
    /// # Errors
    /// If the tensor cannot be read.
    pub fn untie(&self, model: Model, tensors: &dyn TensorSource) -> Result<Model, PeftFormatError> {
        let config = model.config();
        let shape = [config.vocab, config.embedding.table_width(config.hidden)];
        let fits = |name: &&String| tensors.entries().get(*name).is_some_and(|entry| entry.shape == shape);
        let model = match self.shared_weight.as_ref().filter(fits) {
            Some(name) => model.load_partial_state_dict([(EMBEDDING.to_owned(), tensors.read(name)?)].into()),
            None => model,
        };
        Ok(model.with_untied_head())
    }
}

/// Kiln's names of the two weights.
const EMBEDDING: &str = "embedding";
const HEAD: &str = "head.weight";

/// What a file has for the embedding and for the output matrix. `base` has the names of the untied model.
///
/// A LoRA of the head and a weight in `modules_to_save` change one of the two, unless `ensure_weight_tying` is set. Other saved weights
/// and rows of tokens are stored in the shared weight.
///
/// # Errors
/// If a tensor cannot be read.
pub(super) fn ownership(
    base: &BaseModules,
    config: &PeftConfig,
    file: &AdapterFile,
    tensors: &dyn TensorSource,
) -> Result<Ownership, PeftFormatError> {
    let is_of = |module: &str, parameter: &str| {
        base.bindings(&format!("{module}.weight")).iter().any(|binding| binding.parameter == parameter)
    };
    // The adapter of an embedding changes the lookup only, unless the file ties the two weights.
    let has_lora = |parameter: &str| {
        (parameter == HEAD || config.ties_weights()) && file.modules.keys().any(|module| is_of(module, parameter))
    };
    let has_rows = |parameter: &str| file.token_rows.keys().any(|module| is_of(module, parameter));
    let saved = |parameter: &str| {
        file.weights.iter().find_map(|(weight, tensor)| {
            let module = weight.strip_suffix(".weight").filter(|module| is_of(module, parameter))?;
            Some((config.modules.is_replaced(module), tensor))
        })
    };
    let rows_differ = has_rows(EMBEDDING) && has_rows(HEAD);
    let mut owns = Ownership {
        embedding: has_lora(EMBEDDING) || rows_differ,
        head: has_lora(HEAD) || rows_differ,
        is_shared: config.ties_weights(),
        ..Ownership::default()
    };
    let has_changes = owns.embedding || owns.head;
    match (saved(EMBEDDING), saved(HEAD)) {
        (Some((_, ours)), Some((_, theirs))) if !has_changes => {
            owns = Ownership {
                embedding: true,
                head: true,
                is_equal: tensors.read(ours)? == tensors.read(theirs)?,
                ..owns
            };
        }
        (Some((true, _)), None) => owns.embedding = true,
        (None, Some((true, _))) => owns.head = true,
        (Some((false, tensor)), None) | (None, Some((false, tensor))) => owns.shared_weight = Some(tensor.clone()),
        _ => {}
    }
    Ok(owns)
}
