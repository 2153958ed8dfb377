//! Weights of 8-bit floats (E4M3, Micikevicius et al., arXiv:2209.05433) with scales, as DeepSeek-V3, Qwen3 and transformers'
//! `FineGrainedFP8Config` store them.
//!
//! | tensor | type | shape | |
//! |---|---|---|---|
//! | `T` (`X.weight`) | F8_E4M3 | `[…, out, in]` | q |
//! | `T_scale_inv` | F32, BF16 or F16; E8M0 | `[…, ⌈out / b⌉, ⌈in / c⌉]` | s, with b and c of `weight_block_size`; one number without it |
//! | `X.activation_scale` | float | 1 | of `activation_scheme: static`; not used |
//!
//! w\[o, i\] = s\[⌊o / b⌋, ⌊i / c⌋\] q\[o, i\]. The product is computed in f32 and rounded to the type of the model's weights
//! (`dtype` of `config.json`; f32 without it), as with `dequantize=True` of the reference. No block format of ggml holds the values:
//! they have a sign, 4 exponent and 3 mantissa bits. Activations are not quantized.

use super::{
    LogicalTensor, LogicalValues, QuantMethod, QuantOptions, QuantReader,
    stored::{self, broken, check_excluded, float_name, require, write_floats},
};
use crate::tensors::{TensorError, TensorInfo, TensorSource, num_elements};
use burn::tensor::{DType, TensorData};
use kiln_spec::ValidationError;
use rayon::prelude::*;

pub(super) const METHOD: QuantMethod = QuantMethod { name: "fp8", stores_linear: false, read_options };

struct Fp8 {
    /// Rows and columns of a block; `None` for one scale for the matrix.
    block: Option<[usize; 2]>,
    /// Whether scales of one byte are powers of two (`scale_fmt: ue8m0`).
    has_exponents: bool,
    /// Type in which the weights are read.
    dtype: DType,
    excluded: Vec<(String, String)>,
}

/// A matrix as it is stored, or several of the same shape.
struct ScaledFloats {
    tensor: String,
    scales: String,
    shape: Vec<usize>,
    /// Rows and columns of a matrix.
    matrix: [usize; 2],
    /// Rows and columns of a block.
    block: [usize; 2],
    dtype: DType,
}

fn read_options(options: &QuantOptions) -> Result<Box<dyn QuantReader>, ValidationError> {
    let fields = &options.fields;
    fields.ignore(&["dequantize"]);
    options.choice(&["activation_scheme"], "dynamic", &["dynamic", "static"])?;
    options.choice(&["fmt"], "e4m3", &["e4m3"])?;
    options.choice(&["expert_dtype"], "fp8", &["fp8"])?;
    let has_exponents = options.choice(&["scale_fmt"], "float", &["float", "ue8m0"])? == "ue8m0";
    // Stored without a key, blocks have 128 × 128 weights; `null` is one scale for the matrix.
    let block = match fields.get("weight_block_size") {
        None if fields.is_null("weight_block_size") => None,
        None => Some([128, 128]),
        Some(value) => Some(block_size(value).ok_or_else(|| {
            ValidationError::new("weight_block_size", format!("expected two numbers above 0, found {value}"))
        })?),
    };
    let excluded = options.excluded_modules(&["modules_to_not_convert", "ignored_layers"])?;
    Ok(Box::new(Fp8 { block, has_exponents, dtype: options.model_dtype(), excluded }))
}

/// Rows and columns of a block.
fn block_size(value: &serde_json::Value) -> Option<[usize; 2]> {
    let sizes = value.as_array()?.iter().map(|size| size.as_u64()?.try_into().ok().filter(|size| *size > 0));
    sizes.collect::<Option<Vec<usize>>>()?.try_into().ok()
}

impl QuantReader for Fp8 {
    fn logical_tensors(&self, stored: &dyn TensorSource) -> Result<Vec<LogicalTensor>, TensorError> {
        let quantized = stored.entries().iter().filter(|(_, info)| info.dtype == "F8_E4M3");
        quantized.map(|(name, info)| self.matrix(name, info, stored)).collect()
    }
}

impl Fp8 {
    /// The logical tensor of a stored one.
    fn matrix(&self, name: &str, info: &TensorInfo, stored: &dyn TensorSource) -> Result<LogicalTensor, TensorError> {
        let module = name.strip_suffix(".weight").unwrap_or(name);
        check_excluded(&self.excluded, module, name)?;
        let [.., rows, columns] = info.shape[..] else {
            return Err(broken(name, format!("expected the shape […, out, in], found {:?}", info.shape)));
        };
        let block = self.block.unwrap_or([rows.max(1), columns.max(1)]);
        let scales = format!("{name}_scale_inv");
        self.check_scales((&scales, name), info, block, stored)?;
        let activation = format!("{module}.activation_scale");
        let mut parts = vec![name.to_owned(), scales.clone()];
        parts.extend(stored.entries().contains_key(&activation).then_some(activation));
        let shape = info.shape.clone();
        let info = TensorInfo { shape: shape.clone(), dtype: float_name(self.dtype).into() };
        let matrix = [rows, columns];
        let values = ScaledFloats { tensor: name.into(), scales, shape, matrix, block, dtype: self.dtype };
        Ok(LogicalTensor { name: name.into(), info, parts, values: Box::new(values) })
    }

    /// Checks type and shape of the scales of a tensor.
    fn check_scales(
        &self,
        (scales, of): (&str, &str),
        info: &TensorInfo,
        block: [usize; 2],
        stored: &dyn TensorSource,
    ) -> Result<(), TensorError> {
        let found = require(stored, scales, of)?;
        // One scale for a single matrix is also stored as a number or a list of one.
        if self.block.is_none() && info.shape.len() == 2 && num_elements(&found.shape) == Some(1) {
            return stored::require_form(stored, (scales, of), self.scale_types(), &found.shape.clone());
        }
        let [outer @ .., rows, columns] = &info.shape[..] else { return Ok(()) };
        let grid = [outer, &[rows.div_ceil(block[0]), columns.div_ceil(block[1])]].concat();
        stored::require_form(stored, (scales, of), self.scale_types(), &grid)
    }

    /// Types of scales.
    fn scale_types(&self) -> &'static [&'static str] {
        if self.has_exponents { &["F32", "BF16", "F16", "F8_E8M0", "U8"] } else { &["F32", "BF16", "F16"] }
    }
}

/// 2^(e − 127) of an E8M0 byte; 255 is NaN.
fn power_of_two(exponent: u8) -> f32 {
    if exponent == u8::MAX { f32::NAN } else { (f32::from(exponent) - 127.0).exp2() }
}

/// The values of the 256 E4M3 floats: sign, 4 bits of exponent with bias 7, 3 bits of mantissa. There are no infinities; all ones
/// is NaN.
fn e4m3_values() -> [f32; 256] {
    std::array::from_fn(|bits| {
        let (exponent, mantissa) = (bits >> 3 & 15, (bits & 7) as f32);
        let size = match (exponent, bits & 7) {
            (15, 7) => f32::NAN,
            (0, _) => mantissa * (-9f32).exp2(),
            _ => (8.0 + mantissa) * (exponent as f32 - 10.0).exp2(),
        };
        if bits & 128 == 0 { size } else { -size }
    })
}

impl ScaledFloats {
    /// The scales as f32.
    fn read_scales(&self, stored: &dyn TensorSource) -> Result<Vec<f32>, TensorError> {
        match stored.entries()[&self.scales].dtype.as_str() {
            "F8_E8M0" | "U8" => Ok(stored::bytes(stored, &self.scales)?.iter().map(|e| power_of_two(*e)).collect()),
            _ => stored::floats(stored, &self.scales),
        }
    }
}

impl LogicalValues for ScaledFloats {
    fn read(&self, stored: &dyn TensorSource) -> Result<TensorData, TensorError> {
        let (table, scales) = (e4m3_values(), self.read_scales(stored)?);
        let ([rows, columns], [height, width]) = (self.matrix, self.block);
        let (grid_rows, grid_columns) = (rows.div_ceil(height), columns.div_ceil(width));
        let quants = stored::bytes(stored, &self.tensor)?;
        let size = self.dtype.size();
        let mut bytes = vec![0; quants.len() * size];
        let row_quants = quants.par_chunks(columns.max(1));
        bytes.par_chunks_mut((columns * size).max(1)).zip(row_quants).enumerate().for_each(|(row, (out, quants))| {
            // Rows of all matrices are counted.
            let grid_row = row / rows * grid_rows + row % rows / height;
            let scales = &scales[grid_row * grid_columns..][..grid_columns];
            let values = quants.iter().enumerate().map(|(i, q)| table[usize::from(*q)] * scales[i / width]);
            write_floats(self.dtype, values, out);
        });
        Ok(TensorData::from_bytes_vec(bytes, self.shape.clone(), self.dtype))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_e4m3_has_its_landmarks() {
        let table = e4m3_values();
        // Largest value, smallest normal and subnormal one, of OCP's 8-bit floating point specification.
        assert_eq!([table[0x7e], table[0x08], table[0x01]], [448.0, 1.0 / 64.0, 1.0 / 512.0]);
        assert_eq!([table[0x38], table[0xb8], table[0x00]], [1.0, -1.0, 0.0]);
        assert!(table[0x7f].is_nan() && table[0xff].is_nan());
        assert!(table[..0x7f].windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!([power_of_two(127), power_of_two(0), power_of_two(254)], [1.0, (-127f32).exp2(), 127f32.exp2()]);
    }
}
