//! bitsandbytes: 4 bits by a table (QLoRA's NF4, Dettmers et al., arXiv:2305.14314; FP4) and 8 bits by rows (LLM.int8(),
//! arXiv:2208.07339).
//!
//! 4 bits: the matrix `[out, in]`, row after row, is cut into blocks of `blocksize` values.
//!
//! | tensor | type | shape | |
//! |---|---|---|---|
//! | `X.weight` | U8 | `[⌈out · in / 2⌉, 1]` | indices q, two in a byte, the first in the high bits |
//! | `X.weight.quant_map` | F32 | `[16]` | the table t |
//! | `X.weight.absmax` | F32 | `[blocks]` | a |
//! | `X.weight.quant_state.bitsandbytes__nf4` (`fp4`) | U8 | | JSON: shape, block size, type of the weights |
//!
//! and w = t\[q\] a. With `bnb_4bit_use_double_quant`, `absmax` is U8 too, and a = `nested_quant_map`\[`absmax`\] ·
//! `nested_absmax`\[block / `nested_blocksize`\] + `nested_offset`. 8 bits: `X.weight` is I8 `[out, in]`, `X.SCB` F32 `[out]`, and
//! w\[o, i\] = q\[o, i\] SCB\[o\] / 127. Products are computed in f32 and rounded to the type of the weights before their
//! quantization. No block format of ggml has these tables or scales: NF4 is read as 16-bit floats, 2 bytes a weight. Activations
//! are not quantized.

use super::{
    LogicalTensor, LogicalValues, QuantMethod, QuantOptions, QuantReader,
    stored::{self, broken, check_excluded, float_name, require, require_form, write_floats},
};
use crate::tensors::{TensorError, TensorInfo, TensorSource, num_elements};
use burn::tensor::{DType, TensorData};
use kiln_spec::ValidationError;
use rayon::prelude::*;
use serde::Deserialize;

pub(super) const METHOD: QuantMethod = QuantMethod { name: "bitsandbytes", stores_linear: true, read_options };

/// Keys about the computation of the reference with quantized weights.
const IGNORED_KEYS: [&str; 6] = [
    "bnb_4bit_compute_dtype",
    "bnb_4bit_use_double_quant",
    "llm_int8_threshold",
    "llm_int8_enable_fp32_cpu_offload",
    "llm_int8_has_fp16_weight",
    "load_in_8bit",
];

struct BitsAndBytes {
    /// Whether weights have 4 bits; otherwise 8.
    is_4_bit: bool,
    /// Type in which weights of 8 bits are read.
    dtype: DType,
    excluded: Vec<(String, String)>,
}

fn read_options(options: &QuantOptions) -> Result<Box<dyn QuantReader>, ValidationError> {
    options.fields.ignore(&IGNORED_KEYS);
    let [is_4_bit, is_8_bit] =
        [options.fields.flag("load_in_4bit", false)?, options.fields.flag("load_in_8bit", false)?];
    if is_4_bit == is_8_bit {
        let reason = format!("expected true for it or for load_in_8bit, found {is_4_bit} for both");
        return Err(ValidationError::new("load_in_4bit", reason));
    }
    options.choice(&["bnb_4bit_quant_type"], "fp4", &["fp4", "nf4"])?;
    options.choice(&["bnb_4bit_quant_storage"], "uint8", &["uint8"])?;
    let excluded = options.excluded_modules(&["llm_int8_skip_modules"])?;
    Ok(Box::new(BitsAndBytes { is_4_bit, dtype: options.model_dtype(), excluded }))
}

impl QuantReader for BitsAndBytes {
    fn logical_tensors(&self, stored: &dyn TensorSource) -> Result<Vec<LogicalTensor>, TensorError> {
        let stored_as = if self.is_4_bit { "U8" } else { "I8" };
        let quantized =
            stored.entries().iter().filter(|(name, info)| name.ends_with(".weight") && info.dtype == stored_as);
        let logical = quantized.map(|(name, info)| {
            check_excluded(&self.excluded, module_of(name), name)?;
            if self.is_4_bit { TableBlocks::open(name, info, stored) } else { self.scaled_rows(name, info, stored) }
        });
        logical.collect()
    }
}

/// The module of a weight.
fn module_of(name: &str) -> &str {
    name.strip_suffix(".weight").unwrap_or(name)
}

impl BitsAndBytes {
    /// The logical tensor of a matrix of 8-bit integers.
    fn scaled_rows(
        &self,
        name: &str,
        info: &TensorInfo,
        stored: &dyn TensorSource,
    ) -> Result<LogicalTensor, TensorError> {
        let [rows, columns] = info.shape[..] else {
            return Err(broken(name, format!("expected the shape [out, in], found {:?}", info.shape)));
        };
        let module = module_of(name);
        let [scales, layout] = ["SCB", "weight_format"].map(|part| format!("{module}.{part}"));
        require_form(stored, (&scales, name), &["F32"], &[rows])?;
        let mut parts = vec![name.to_owned(), scales.clone()];
        if stored.entries().contains_key(&layout) {
            // 0 is "row": the others are layouts of GPUs' matrix products.
            if stored::bytes(stored, &layout)?.iter().any(|code| *code != 0) {
                return Err(broken(&layout, "expected rows (0), found the layout of a GPU"));
            }
            parts.push(layout);
        }
        let info = TensorInfo { shape: info.shape.clone(), dtype: float_name(self.dtype).into() };
        let values = ScaledRows { tensor: name.into(), scales, shape: [rows, columns], dtype: self.dtype };
        Ok(LogicalTensor { name: name.into(), info, parts, values: Box::new(values) })
    }
}

/// A matrix of 8-bit integers with a scale for each row.
struct ScaledRows {
    tensor: String,
    scales: String,
    shape: [usize; 2],
    dtype: DType,
}

impl LogicalValues for ScaledRows {
    fn read(&self, stored: &dyn TensorSource) -> Result<TensorData, TensorError> {
        let (quants, scales) = (stored::bytes(stored, &self.tensor)?, stored::floats(stored, &self.scales)?);
        let mut bytes = vec![0; quants.len() * self.dtype.size()];
        let columns = self.shape[1].max(1);
        let rows = bytes.chunks_exact_mut(columns * self.dtype.size()).zip(quants.chunks_exact(columns));
        for ((out, quants), scale) in rows.zip(scales) {
            // The reference multiplies by the rounded 1/127.
            let values = quants.iter().map(|q| f32::from(*q as i8) * scale * (1.0 / 127.0));
            write_floats(self.dtype, values, out);
        }
        Ok(TensorData::from_bytes_vec(bytes, self.shape.to_vec(), self.dtype))
    }
}

/// The JSON that describes a matrix of 4 bits.
#[derive(Deserialize)]
struct QuantState {
    quant_type: String,
    blocksize: usize,
    dtype: String,
    shape: Vec<usize>,
    #[serde(flatten)]
    nested: Option<NestedState>,
}

/// How the scales of blocks are quantized.
#[derive(Deserialize)]
struct NestedState {
    nested_blocksize: usize,
    nested_dtype: String,
    nested_offset: f32,
}

/// A matrix of 4-bit indices into a table, with a scale for each block.
struct TableBlocks {
    tensor: String,
    shape: Vec<usize>,
    block_size: usize,
    dtype: DType,
    nested: Option<NestedState>,
}

impl TableBlocks {
    /// The logical tensor of a stored one.
    fn open(name: &str, info: &TensorInfo, stored: &dyn TensorSource) -> Result<LogicalTensor, TensorError> {
        let part = |part: &str| format!("{name}.{part}");
        let types = ["nf4", "fp4"].map(|kind| (kind, part(&format!("quant_state.bitsandbytes__{kind}"))));
        let (kind, state_name) =
            types.iter().find(|(_, state)| stored.entries().contains_key(state)).unwrap_or(&types[0]);
        require(stored, state_name, name)?;
        let json = stored::bytes(stored, state_name)?;
        let state: QuantState = serde_json::from_slice(&json).map_err(|error| broken(state_name, error.to_string()))?;
        let dtype = match state.dtype.as_str() {
            "bfloat16" => DType::BF16,
            "float16" => DType::F16,
            "float32" => DType::F32,
            other => return Err(broken(state_name, format!("expected a float type as `dtype`, found \"{other}\""))),
        };
        let count =
            num_elements(&state.shape).filter(|count| *count > 0 && state.blocksize > 0 && state.quant_type == *kind);
        let Some(count) = count else {
            let found = String::from_utf8_lossy(&json);
            return Err(broken(
                state_name,
                format!("expected `quant_type` {kind}, a `shape` and a `blocksize`, found {found}"),
            ));
        };
        if num_elements(&info.shape) != Some(count.div_ceil(2)) {
            let reason =
                format!("expected {} bytes for the shape {:?}, found {:?}", count.div_ceil(2), state.shape, info.shape);
            return Err(broken(name, reason));
        }
        let blocks = count.div_ceil(state.blocksize);
        let [table, scales] = ["quant_map", "absmax"].map(part);
        require_form(stored, (&table, name), &["F32"], &[16])?;
        require_form(stored, (&scales, name), &[if state.nested.is_some() { "U8" } else { "F32" }], &[blocks])?;
        let mut parts = vec![name.to_owned(), state_name.clone(), table, scales];
        if let Some(nested) = &state.nested {
            if nested.nested_blocksize == 0 || nested.nested_dtype != "float32" {
                return Err(broken(state_name, "expected a `nested_blocksize` and `nested_dtype` float32"));
            }
            let [table, scales] = ["nested_quant_map", "nested_absmax"].map(part);
            require_form(stored, (&table, name), &["F32"], &[256])?;
            require_form(stored, (&scales, name), &["F32"], &[blocks.div_ceil(nested.nested_blocksize)])?;
            parts.extend([table, scales]);
        }
        let info = TensorInfo { shape: state.shape.clone(), dtype: float_name(dtype).into() };
        let values =
            Self { tensor: name.into(), shape: state.shape, block_size: state.blocksize, dtype, nested: state.nested };
        Ok(LogicalTensor { name: name.into(), info, parts, values: Box::new(values) })
    }

    /// The scale of each block.
    fn read_scales(&self, stored: &dyn TensorSource) -> Result<Vec<f32>, TensorError> {
        let part = |part: &str| format!("{}.{part}", self.tensor);
        let Some(nested) = &self.nested else { return stored::floats(stored, &part("absmax")) };
        let table = stored::floats(stored, &part("nested_quant_map"))?;
        let outer = stored::floats(stored, &part("nested_absmax"))?;
        let quants = stored::bytes(stored, &part("absmax"))?;
        let scale = |(block, q): (usize, &u8)| {
            table[usize::from(*q)] * outer[block / nested.nested_blocksize] + nested.nested_offset
        };
        Ok(quants.iter().enumerate().map(scale).collect())
    }
}

impl LogicalValues for TableBlocks {
    fn read(&self, stored: &dyn TensorSource) -> Result<TensorData, TensorError> {
        let (table, scales) =
            (stored::floats(stored, &format!("{}.quant_map", self.tensor))?, self.read_scales(stored)?);
        let quants = stored::bytes(stored, &self.tensor)?;
        let (size, count) = (self.dtype.size(), self.shape.iter().product::<usize>());
        let mut bytes = vec![0; count * size];
        bytes.par_chunks_mut(self.block_size * size).zip(scales).enumerate().for_each(|(block, (out, scale))| {
            let values = (block * self.block_size..).take(out.len() / size).map(|at| {
                let pair = quants[at / 2];
                table[usize::from(if at % 2 == 0 { pair >> 4 } else { pair & 15 })] * scale
            });
            write_floats(self.dtype, values, out);
        });
        Ok(TensorData::from_bytes_vec(bytes, self.shape.clone(), self.dtype))
    }
}
