//! Quantized weights of Hugging Face folders: the tensors that a method stores, shown as the tensors that they stand for.
//!
//! Methods such as GPTQ store a matrix as several tensors: packed integers, scales, zero points. `quantization_config` of
//! `config.json` names the method (`quant_method`) and its options. [`open`] wraps the [`TensorSource`] of such a folder into one
//! with the logical tensors (`X.weight [out, in]`) in place of the stored ones. Families see logical tensors only.
//!
//! | file | `quant_method` | stored as |
//! |---|---|---|
//! | `gptq` | `gptq` | 4 or 8 bits, packed along the inputs, with a group of each input |
//! | `awq` | `awq` | 4 bits, packed along the outputs in an interleaved order |
//! | `fp8` | `fp8` | 8-bit floats with a scale for each block or one for the matrix |
//! | `bitsandbytes` | `bitsandbytes` | 4-bit indices into a table with a scale for each block; 8 bits with a scale for each row |
//!
//! A logical matrix is read in packed form ([`TensorSource::read_packed`]) if one of ggml's block formats holds its values
//! exactly. Otherwise it is read as floats of the type in which the reference dequantizes, rounded once. `integer_groups` has
//! what GPTQ and AWQ have in common, and says when values are exact.
//!
//! Options, names, shapes, types, group indices and zero points are checked when the source is opened, before weights are
//! read. To add a method: write `quantized/<method>.rs` with a `METHOD` constant, add its `mod` line and its entry in
//! [`METHODS`].

mod awq;
mod bitsandbytes;
mod fp8;
mod gptq;
mod integer_groups;
mod options;
mod packed_integers;
mod stored;

use super::{config_reader::ConfigReader, family::Family};
use crate::tensors::{StoredTensor, TensorError, TensorInfo, TensorSource};
use burn::tensor::{DType, TensorData};
use kiln_kernels::packed::PackedMatrix;
use kiln_spec::ValidationError;
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// Key of `config.json` with the method and its options.
const CONFIG_KEY: &str = "quantization_config";

/// Method of quantization: the value of `quant_method`, and its reader.
pub struct QuantMethod {
    /// The value of `quant_method`.
    pub name: &'static str,
    /// Whether it stores matrices as those of `Linear`, also where the model has a `Conv1D`, whose matrix is transposed.
    stores_linear: bool,
    /// Reads the options. Those that the reader does not know are refused afterward.
    read_options: fn(&QuantOptions) -> Result<Box<dyn QuantReader>, ValidationError>,
}

/// All methods.
pub const METHODS: &[QuantMethod] = &[gptq::METHOD, awq::METHOD, fp8::METHOD, bitsandbytes::METHOD];

/// The options of a method.
struct QuantOptions<'a> {
    /// The keys of `quantization_config`.
    fields: ConfigReader<'a>,
    /// The type of the model's weights in `config.json` (`bfloat16`), if it says one.
    dtype_name: Option<&'a str>,
}

/// Reader of one method's tensors, with its options.
trait QuantReader {
    /// The logical tensors that are stored in another form, after a check of the tensors that they are stored in.
    fn logical_tensors(&self, stored: &dyn TensorSource) -> Result<Vec<LogicalTensor>, TensorError>;
}

/// A tensor that several stored tensors stand for.
struct LogicalTensor {
    name: String,
    /// Its shape, and the type in which it is read.
    info: TensorInfo,
    /// Names of the stored tensors.
    parts: Vec<String>,
    values: Box<dyn LogicalValues>,
}

/// Reads the values of a logical tensor from its stored tensors.
trait LogicalValues {
    /// The values as f32, f16 or bf16.
    fn read(&self, stored: &dyn TensorSource) -> Result<TensorData, TensorError>;

    /// The values in a block format, if one holds them exactly. Default: `None`.
    fn read_packed(&self, _stored: &dyn TensorSource) -> Option<PackedMatrix> {
        None
    }
}

/// Why quantized weights can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum QuantizedError {
    /// An option of `quantization_config` is not supported.
    #[error(transparent)]
    Config(#[from] ValidationError),
    /// A tensor is missing, or does not have the shape or the type of the method.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// A method with its reader of tensors.
type MethodReader = (&'static QuantMethod, Box<dyn QuantReader>);

/// The method and the options of a `config.json`; `None` if its weights are plain.
fn read_method(config_json: &Value) -> Result<Option<MethodReader>, ValidationError> {
    let Some(quantization) = config_json.get(CONFIG_KEY).filter(|value| !value.is_null()) else { return Ok(None) };
    // Older files of bitsandbytes have no name.
    let is_loaded_in_bits = ["load_in_4bit", "load_in_8bit"].iter().any(|key| quantization[*key] == true);
    let name = match &quantization["quant_method"] {
        Value::Null if is_loaded_in_bits => "bitsandbytes",
        name => name.as_str().unwrap_or_default(),
    };
    let Some(method) = METHODS.iter().find(|method| name == method.name) else {
        return Err(unsupported_method(quantization));
    };
    let dtype = ["dtype", "torch_dtype"].iter().find_map(|key| config_json.get(*key)?.as_str());
    let read = || {
        let options = QuantOptions { fields: ConfigReader::new(method.name, quantization)?, dtype_name: dtype };
        options.fields.ignore(&["quant_method"]);
        let reader = (method.read_options)(&options)?;
        options.fields.finish()?;
        Ok(reader)
    };
    let reader = read().map_err(|error: ValidationError| error.with_path_prefix(CONFIG_KEY))?;
    Ok(Some((method, reader)))
}

/// Checks that the weights of a `config.json` are plain, or quantized by a method and with options that Kiln reads for the
/// family.
pub(super) fn check_config(config_json: &Value, family: &Family) -> Result<(), ValidationError> {
    match read_method(config_json)? {
        // The one family with `Conv1D` in place of `Linear`: a square matrix would be read transposed.
        Some((method, _)) if method.stores_linear && family.name == "gpt2" => {
            let reason = format!("weights of `{}` quantized by {} are not supported", family.name, method.name);
            Err(ValidationError::new(CONFIG_KEY, reason).with_suggestion("use the model before its quantization"))
        }
        _ => Ok(()),
    }
}

/// A `config.json` without the options of quantization, which are no keys of the model's family.
pub(super) fn without_options(config_json: &Value) -> Cow<'_, Value> {
    let mut config_json = Cow::Borrowed(config_json);
    if config_json.get(CONFIG_KEY).is_some() {
        config_json.to_mut().as_object_mut().and_then(|keys| keys.remove(CONFIG_KEY));
    }
    config_json
}

/// The error for a method that Kiln does not read.
fn unsupported_method(config: &Value) -> ValidationError {
    let method = config["quant_method"].as_str().unwrap_or("an unnamed method");
    let bits = config["bits"].as_u64().map_or(String::new(), |bits| format!(", {bits} bits"));
    let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    let suggestion =
        format!("supported: {}; or use the model before its quantization, or a GGUF file", names.join(", "));
    ValidationError::new(
        format!("{CONFIG_KEY}.quant_method"),
        format!("weights quantized by {method}{bits} are not supported"),
    )
    .with_suggestion(suggestion)
}

/// The error for a folder whose tensors are all plain, against its `config.json`.
fn no_quantized_tensor(method: &QuantMethod) -> ValidationError {
    let reason = format!("weights quantized by {} expected, but all tensors are plain", method.name);
    ValidationError::new(format!("{CONFIG_KEY}.quant_method"), reason)
        .with_suggestion(format!("remove `{CONFIG_KEY}` if the weights are not quantized"))
}

/// The tensors of a folder with this `config.json`: `stored` itself if its weights are plain, otherwise the logical tensors.
///
/// # Errors
/// If the method or one of its options is not supported, or a tensor is missing or does not have the method's shape or type.
pub fn open<'a>(
    config_json: &Value,
    stored: Box<dyn TensorSource + 'a>,
) -> Result<Box<dyn TensorSource + 'a>, QuantizedError> {
    match read_method(config_json)? {
        None => Ok(stored),
        Some((method, reader)) => {
            let tensors = LogicalTensors::new(&*reader, stored)?;
            if tensors.logical.is_empty() {
                return Err(no_quantized_tensor(method).into());
            }
            Ok(Box::new(tensors))
        }
    }
}

/// The names of the stored tensors of each logical tensor of a folder with this `config.json`. Empty if its weights are plain.
///
/// # Errors
/// As [`open`].
pub fn stored_parts(
    config_json: &Value,
    stored: &dyn TensorSource,
) -> Result<BTreeMap<String, Vec<String>>, QuantizedError> {
    let Some((_, reader)) = read_method(config_json)? else { return Ok(BTreeMap::new()) };
    let logical = reader.logical_tensors(stored)?;
    check_parts(&logical, stored)?;
    Ok(logical.into_iter().map(|tensor| (tensor.name, tensor.parts)).collect())
}

/// Logical tensors in place of the stored ones. Stored tensors that are part of none are shown as they are.
struct LogicalTensors<'a> {
    stored: Box<dyn TensorSource + 'a>,
    logical: BTreeMap<String, LogicalTensor>,
    entries: BTreeMap<String, TensorInfo>,
}

impl<'a> LogicalTensors<'a> {
    fn new(reader: &dyn QuantReader, stored: Box<dyn TensorSource + 'a>) -> Result<Self, TensorError> {
        let logical = reader.logical_tensors(&*stored)?;
        check_parts(&logical, &*stored)?;
        let mut entries = stored.entries().clone();
        entries.retain(|name, _| !logical.iter().any(|tensor| tensor.parts.contains(name)));
        entries.extend(logical.iter().map(|tensor| (tensor.name.clone(), tensor.info.clone())));
        let logical = logical.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        Ok(Self { stored, logical, entries })
    }
}

/// Checks that each stored tensor is a part of at most one logical tensor, and that no logical tensor hides another tensor.
/// Stored tensors that are part of none stay visible, so that loading refuses those without a parameter.
fn check_parts(logical: &[LogicalTensor], stored: &dyn TensorSource) -> Result<(), TensorError> {
    let broken = |name: &str, reason: String| Err(TensorError::Broken { name: name.into(), reason });
    let (mut parts, mut names) = (BTreeSet::new(), BTreeSet::new());
    for tensor in logical {
        if !names.insert(&tensor.name) {
            return broken(&tensor.name, "stored twice".into());
        }
        for part in &tensor.parts {
            if !parts.insert(part) {
                return broken(part, format!("part of two weights, one of them `{}`", tensor.name));
            }
        }
    }
    match logical.iter().find(|tensor| stored.entries().contains_key(&tensor.name) && !parts.contains(&tensor.name)) {
        Some(tensor) => {
            let first = tensor.parts.first().map_or("", String::as_str);
            broken(&tensor.name, format!("stored both as floats and quantized (`{first}`)"))
        }
        None => Ok(()),
    }
}

impl TensorSource for LogicalTensors<'_> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        match self.logical.get(name) {
            Some(tensor) => Ok(crate::precision::converted(tensor.values.read(&*self.stored)?, DType::F32)),
            None => self.visible(name)?.read(name),
        }
    }

    fn read_stored(&self, name: &str) -> Result<StoredTensor<'_>, TensorError> {
        match self.logical.get(name) {
            Some(tensor) => tensor.values.read(&*self.stored).map(StoredTensor::Owned),
            None => self.visible(name)?.read_stored(name),
        }
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        match self.logical.get(name) {
            Some(tensor) => tensor.values.read_packed(&*self.stored),
            None => self.visible(name).ok()?.read_packed(name),
        }
    }

    fn read_bytes(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let is_logical = self.logical.contains_key(name);
        self.visible(name).ok().filter(|_| !is_logical)?.read_bytes(name)
    }

    /// AutoGPTQ up to 0.7 wrote a bias of zeros for each layer without one.
    fn is_redundant(&self, name: &str) -> bool {
        let module = name.strip_suffix(".bias");
        let is_quantized = module.is_some_and(|module| self.logical.contains_key(&format!("{module}.weight")));
        is_quantized && self.read(name).is_ok_and(|values| values.iter::<f32>().all(|value| value == 0.0))
    }

    fn release(&self, name: &str) {
        match self.logical.get(name) {
            Some(tensor) => tensor.parts.iter().for_each(|part| self.stored.release(part)),
            None => self.stored.release(name),
        }
    }
}

impl LogicalTensors<'_> {
    /// The stored tensors, to read one that is shown as it is.
    fn visible(&self, name: &str) -> Result<&dyn TensorSource, TensorError> {
        if self.entries.contains_key(name) { Ok(&*self.stored) } else { Err(TensorError::NotFound(name.into())) }
    }
}

#[cfg(test)]
mod tests;
