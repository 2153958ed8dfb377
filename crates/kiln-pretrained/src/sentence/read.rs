//! The files of a sentence encoder on disk.

use super::{DenseActivation, DenseModule, Prompts, SentenceConfig, Similarity, VectorModule, settings};
use crate::{
    PretrainedError,
    files::{CONFIG_FILE, SafeTensorsFiles, open_pickle},
};
use kiln_data::file_set::read_json;
use kiln_models::{
    hf::{
        ConfigReader,
        sentence_transformers::{MODULES_FILE, ModuleEntry, read_modules, read_pooling, unsupported_module},
    },
    tensors::TensorSource,
};
use kiln_spec::ValidationError;
use serde_json::Value;
use std::path::Path;

/// Prompts and the similarity function.
pub(super) const PROMPTS_FILE: &str = "config_sentence_transformers.json";
/// Settings of the module `Transformer`; the first that exists. Older versions named the file after the model.
pub(super) const TRANSFORMER_FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];
/// Files with settings of a whole encoder: they do not depend on its modules.
pub const SETTINGS_FILES: [&str; 8] = {
    let [bert, roberta, distilbert, camembert, albert, xlm_roberta, xlnet] = TRANSFORMER_FILES;
    [PROMPTS_FILE, bert, roberta, distilbert, camembert, albert, xlm_roberta, xlnet]
};
/// Weights of a module, in the order in which they are looked for.
const WEIGHT_FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// The modules of a pipeline that Kiln computes.
const SUPPORTED: &str = "Transformer, Pooling, Normalize, Dense, Dropout";

impl SentenceConfig {
    /// Reads the files of a model folder. A folder without `modules.json` gives the mean over tokens.
    ///
    /// # Errors
    /// If a file cannot be read, or has an option that Kiln does not support.
    pub fn from_folder(folder: &Path) -> Result<Self, PretrainedError> {
        let mut config = Self::default();
        let at = |name: &str| {
            let file = folder.join(name);
            move |error| PretrainedError::Unsupported { file, error }
        };
        if let Some(json) = read_json(folder, PROMPTS_FILE)? {
            settings::require(&json, "model_type", "SentenceTransformer").map_err(at(PROMPTS_FILE))?;
            config.prompts = Prompts::from_json(&json).map_err(at(PROMPTS_FILE))?;
            config.similarity = Similarity::from_json(&json).map_err(at(PROMPTS_FILE))?;
        }
        let mut max_length = None;
        for name in TRANSFORMER_FILES {
            let Some(json) = read_json(folder, name)? else { continue };
            (max_length, config.lowercase) = settings::read_transformer_settings(&json).map_err(at(name))?;
            break;
        }
        config.max_length = match max_length {
            Some(length) => Some(length),
            None => declared_length(folder)?,
        };
        if let Some(json) = read_json(folder, MODULES_FILE)? {
            let modules = read_modules(&json).map_err(at(MODULES_FILE))?;
            config.read_pipeline(folder, &modules)?;
        }
        Ok(config)
    }

    /// Reads the modules of a pipeline.
    fn read_pipeline(&mut self, folder: &Path, modules: &[ModuleEntry]) -> Result<(), PretrainedError> {
        let refused = |error| PretrainedError::Unsupported { file: folder.join(MODULES_FILE), error };
        let mut is_pooled = false;
        for (i, module) in modules.iter().enumerate() {
            match (module.class.as_str(), i == 0, is_pooled) {
                ("Transformer", true, _) => {}
                ("Pooling", false, false) => {
                    self.pooling = read_module(folder, module, read_pooling)?.unwrap_or_default();
                    is_pooled = true;
                }
                ("Normalize", _, true) => self.modules.push(VectorModule::Normalize),
                ("Dense", _, true) => self.modules.push(VectorModule::Dense(read_dense(folder, module)?)),
                // Dropout is the identity outside of training.
                ("Dropout", _, true) => {}
                ("Transformer" | "Pooling" | "Normalize" | "Dense" | "Dropout", ..) => {
                    let reason = format!("unsupported order: `{}` as module {}", module.class, i + 1);
                    let error = ValidationError::new(format!("{MODULES_FILE}[{i}].type"), reason);
                    let suggestion = "supported: Transformer, Pooling, then any of Normalize, Dense, Dropout";
                    return Err(refused(error.with_suggestion(suggestion)));
                }
                (other, ..) => return Err(refused(unsupported_module(i, other, SUPPORTED))),
            }
        }
        Ok(())
    }
}

/// Reads the `config.json` of a module; `None` if the file is missing, which is logged.
fn read_module<T>(
    folder: &Path,
    module: &ModuleEntry,
    read: impl FnOnce(&Value) -> Result<T, ValidationError>,
) -> Result<Option<T>, PretrainedError> {
    let name = module.file(CONFIG_FILE);
    let Some(json) = read_json(folder, &name)? else {
        log::warn!("{name} of the module `{}` is missing; its defaults are used", module.class);
        return Ok(None);
    };
    read(&json).map(Some).map_err(|error| PretrainedError::Unsupported { file: folder.join(&name), error })
}

/// Options of a dense module.
struct DenseOptions {
    shape: [usize; 2],
    has_bias: bool,
    activation: DenseActivation,
    has_residual: bool,
}

fn read_dense_options(json: &Value) -> Result<DenseOptions, ValidationError> {
    let fields = ConfigReader::new("Dense", json)?;
    for key in ["module_input_name", "module_output_name"] {
        fields.require(key, "sentence_embedding")?;
    }
    Ok(DenseOptions {
        shape: [fields.size("in_features", 0)?, fields.size("out_features", 0)?],
        has_bias: fields.flag("bias", true)?,
        activation: DenseActivation::from_class(
            fields.string("activation_function", "torch.nn.modules.activation.Tanh")?,
        )?,
        has_residual: fields.flag("use_residual", false)?,
    })
}

/// Reads options and weights of a dense module.
fn read_dense(folder: &Path, module: &ModuleEntry) -> Result<DenseModule, PretrainedError> {
    let path = folder.join(&module.folder);
    let unsupported = |error| PretrainedError::Unsupported { file: path.clone(), error };
    let options = read_module(folder, module, read_dense_options)?
        .ok_or_else(|| unsupported(ValidationError::new(CONFIG_FILE, "the file is missing")))?;
    let tensors = open_weights(&path)?;
    let [inputs, outputs] = options.shape;
    let read = |name: &str, shape: &[usize]| -> Result<Vec<f32>, PretrainedError> {
        let found = tensors.entries().get(name).map(|entry| entry.shape.clone());
        if found.as_deref() != Some(shape) {
            let found = found.map_or_else(|| "none".into(), |shape| format!("{shape:?}"));
            let reason = format!("expected a tensor of the shape {shape:?}, found {found}");
            return Err(unsupported(ValidationError::new(name, reason)));
        }
        let data = tensors.read(name).map_err(|error| unsupported(ValidationError::new(name, error.to_string())))?;
        Ok(data.iter::<f32>().collect())
    };
    let transposed = |values: Vec<f32>| -> Vec<f32> {
        (0..inputs * outputs).map(|i| values[i % outputs * inputs + i / outputs]).collect()
    };
    let weight = transposed(read("linear.weight", &[outputs, inputs])?);
    let bias = options.has_bias.then(|| read("linear.bias", &[outputs])).transpose()?;
    let dense = DenseModule::new(options.shape, weight, bias, options.activation).map_err(unsupported)?;
    if !options.has_residual {
        return Ok(dense);
    }
    let matrix =
        (inputs != outputs).then(|| read("residual.weight", &[outputs, inputs]).map(transposed)).transpose()?;
    dense.with_residual(matrix).map_err(unsupported)
}

/// Opens the weights of a module.
fn open_weights(folder: &Path) -> Result<Box<dyn TensorSource>, PretrainedError> {
    let [safetensors, pickle] = WEIGHT_FILES.map(|name| folder.join(name));
    if safetensors.is_file() {
        return Ok(Box::new(SafeTensorsFiles::open(&[safetensors])?));
    }
    if pickle.is_file() {
        return Ok(Box::new(open_pickle(&pickle)?));
    }
    let error = ValidationError::new("", format!("no weights found; expected {}", WEIGHT_FILES.join(" or ")));
    Err(PretrainedError::Unsupported { file: folder.into(), error })
}

/// The length that the tokenizer's and the model's configuration allow, the smaller of the two.
fn declared_length(folder: &Path) -> Result<Option<usize>, PretrainedError> {
    let number = |name: &str, key: &str| -> Result<Option<usize>, PretrainedError> {
        let json = read_json(folder, name)?;
        let value = json.as_ref().and_then(|json| json.get(key)).and_then(Value::as_f64);
        // Tokenizers without a limit have 10³⁰.
        Ok(value.filter(|length| (1.0..1e15).contains(length)).map(|length| length as usize))
    };
    let lengths =
        [number("tokenizer_config.json", "model_max_length")?, number(CONFIG_FILE, "max_position_embeddings")?];
    Ok(lengths.into_iter().flatten().min())
}
