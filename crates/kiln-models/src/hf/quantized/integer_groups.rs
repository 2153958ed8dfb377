//! Matrices w = s (q − z) of unsigned integers q with a scale s and a zero point z for each group of inputs: GPTQ and AWQ.
//!
//! q is `[in, out]`; s and z are `[groups, out]`. Without an order of their own, `group_size` consecutive inputs are a group.
//!
//! **When values are exact.** ggml's Q4_1 (w = d q + m) would need m = −s z, which is not an f16 in general: the error is up to
//! 2⁻¹¹ s z, for 4 bits 0.7 % of a step. Instead, the integer q − z is stored: it is within −8..7 where all zero points are 8
//! (symmetric quantization), which is Q4_0, and always within −16..15, which is Q5_0 with half a bit more for each weight. 8 bits with
//! all zero points 128 are Q8_0. All three have the scale as f16, as the files do, so that no value is rounded. What does
//! not fit (groups in another order, a group size that is no multiple of 32, 8 bits with other zero points, scales beyond f16)
//! is read as floats of the scales' type, rounded once: the reference computes the same.

use super::{
    LogicalTensor, LogicalValues,
    packed_integers::PackedIntegers,
    stored::{self, write_floats},
};
use crate::tensors::{TensorError, TensorInfo, TensorSource, float_type};
use burn::tensor::{DType, TensorData, f16};
use kiln_kernels::packed::{
    GgmlType, PackedMatrix,
    integer_blocks::{BLOCK_SIZE, format_of_range, write_block},
};
use rayon::prelude::*;

/// Outputs that one thread reads at a time. A multiple of the integers in a word.
const TILE_OUTPUTS: usize = 64;

/// A quantized matrix as it is stored.
pub(super) struct IntegerGroups {
    /// q `[in, out]`.
    pub weight: PackedIntegers,
    /// z `[groups, out]`.
    pub zeros: PackedIntegers,
    /// Name of the scales `[groups, out]`.
    pub scales: String,
    /// The group of each input; `None` if groups are consecutive inputs.
    pub group_of_input: Option<Vec<usize>>,
}

/// A matrix and the type in which it is read.
struct GroupValues {
    groups: IntegerGroups,
    read_type: ReadType,
}

/// Type in which a matrix is read.
#[derive(Clone, Copy)]
enum ReadType {
    /// The block format that holds the values.
    Packed(&'static GgmlType),
    /// Floats of this type.
    Floats(DType),
}

/// Types of scales.
const SCALE_TYPES: [&str; 3] = ["F16", "BF16", "F32"];

impl IntegerGroups {
    fn inputs(&self) -> usize {
        self.weight.shape[0]
    }

    fn outputs(&self) -> usize {
        self.weight.shape[1]
    }

    fn group_size(&self) -> usize {
        self.inputs() / self.zeros.shape[0]
    }

    /// The logical tensor `{module}.weight [out, in]` of parts with these names, after a check of all but the integers q.
    pub fn into_logical(
        self,
        module: &str,
        parts: Vec<String>,
        stored: &dyn TensorSource,
    ) -> Result<LogicalTensor, TensorError> {
        let of = &self.weight.tensor;
        self.weight.check(stored, of)?;
        self.zeros.check(stored, of)?;
        stored::require_form(stored, (&self.scales, of), &SCALE_TYPES, &self.zeros.shape)?;
        let read_type = self.read_type(stored)?;
        let dtype = match read_type {
            ReadType::Packed(format) => format.name,
            ReadType::Floats(_) => &stored.entries()[&self.scales].dtype,
        };
        let info = TensorInfo { shape: vec![self.outputs(), self.inputs()], dtype: dtype.into() };
        let values = Box::new(GroupValues { groups: self, read_type });
        Ok(LogicalTensor { name: format!("{module}.weight"), info, parts, values })
    }

    /// The type in which the matrix is read. Reads zero points, and scales that are no f16.
    fn read_type(&self, stored: &dyn TensorSource) -> Result<ReadType, TensorError> {
        let scale_type = stored.entries()[&self.scales].dtype.as_str();
        let floats = ReadType::Floats(float_type(scale_type).unwrap_or(DType::F32));
        if self.group_of_input.is_some() || !self.group_size().is_multiple_of(BLOCK_SIZE) {
            return Ok(floats);
        }
        let is_half = |scale: &f32| f16::from_f32(*scale).to_f32() == *scale;
        if scale_type != "F16" && !stored::floats(stored, &self.scales)?.iter().all(is_half) {
            return Ok(floats);
        }
        let zeros = self.zeros.read(stored)?;
        let [least, most] = [zeros.iter().min(), zeros.iter().max()].map(|zero| i32::from(*zero.unwrap_or(&0)));
        let format = format_of_range(-most, (1 << self.weight.bits) - 1 - least);
        Ok(format.map_or(floats, ReadType::Packed))
    }

    /// The bytes of the rows `[out, row_bytes]`: `write` gets each run of inputs of an output with the bytes of the output's row.
    fn rows(
        &self,
        stored: &dyn TensorSource,
        row_bytes: usize,
        write: impl Fn(Run, &mut [u8]) + Sync,
    ) -> Result<Vec<u8>, TensorError> {
        let [inputs, outputs] = self.weight.shape;
        let words = stored::bytes(stored, &self.weight.tensor)?;
        let (zeros, scales) = (self.zeros.read(stored)?, stored::floats(stored, &self.scales)?);
        let consecutive = || (0..inputs).map(|input| input / self.group_size()).collect();
        let group_of = self.group_of_input.clone().unwrap_or_else(consecutive);
        let length = outputs.checked_mul(row_bytes).ok_or_else(|| self.too_large())?;
        let mut bytes = vec![0; length];
        bytes.par_chunks_mut(TILE_OUTPUTS * row_bytes).enumerate().for_each(|(tile, rows)| {
            let columns = [tile * TILE_OUTPUTS, outputs.min((tile + 1) * TILE_OUTPUTS)];
            let width = columns[1] - columns[0];
            let mut quants = [0; BLOCK_SIZE * TILE_OUTPUTS];
            let (mut integers, mut scale_of) = ([0i16; BLOCK_SIZE], [0.0f32; BLOCK_SIZE]);
            for first in (0..inputs).step_by(BLOCK_SIZE) {
                let count = BLOCK_SIZE.min(inputs - first);
                self.weight.unpack(&words, [first, first + count], columns, &mut quants[..count * width]);
                for (column, row) in rows.chunks_exact_mut(row_bytes).enumerate() {
                    for (i, group) in group_of[first..first + count].iter().enumerate() {
                        let at = group * outputs + columns[0] + column;
                        integers[i] = i16::from(quants[i * width + column]) - i16::from(zeros[at]);
                        scale_of[i] = scales[at];
                    }
                    write(Run { first, integers: &integers[..count], scales: &scale_of[..count] }, row);
                }
            }
        });
        Ok(bytes)
    }

    /// The matrix in a block format whose blocks are within a group.
    fn pack(&self, stored: &dyn TensorSource, format: &'static GgmlType) -> Result<PackedMatrix, TensorError> {
        let row_bytes = format.byte_len(self.inputs()).ok_or_else(|| self.too_large())?;
        let bytes = self.rows(stored, row_bytes, |run, row| {
            let block = &mut row[run.first / BLOCK_SIZE * format.block_bytes..][..format.block_bytes];
            let integers = run.integers.try_into().expect("groups of whole blocks");
            write_block(format, f16::from_f32(run.scales[0]), integers, block);
        })?;
        PackedMatrix::new(format, [self.outputs(), self.inputs()], bytes.into()).ok_or_else(|| self.too_large())
    }

    /// The matrix as floats: s (q − z), rounded to the type.
    fn to_floats(&self, stored: &dyn TensorSource, dtype: DType) -> Result<TensorData, TensorError> {
        let bytes = self.rows(stored, self.inputs() * dtype.size(), |run, row| {
            let products = run.integers.iter().zip(run.scales).map(|(integer, scale)| f32::from(*integer) * scale);
            write_floats(dtype, products, &mut row[run.first * dtype.size()..]);
        })?;
        Ok(TensorData::from_bytes_vec(bytes, vec![self.outputs(), self.inputs()], dtype))
    }

    fn too_large(&self) -> TensorError {
        stored::broken(&self.weight.tensor, format!("{:?} weights are too many for this machine", self.weight.shape))
    }
}

/// Up to 32 consecutive inputs of one output.
struct Run<'a> {
    /// The first input.
    first: usize,
    /// q − z of each input.
    integers: &'a [i16],
    /// The scale of each input.
    scales: &'a [f32],
}

impl LogicalValues for GroupValues {
    fn read(&self, stored: &dyn TensorSource) -> Result<TensorData, TensorError> {
        match self.read_type {
            ReadType::Packed(format) => {
                let matrix = self.groups.pack(stored, format)?;
                Ok(TensorData::new(matrix.dequantize(), matrix.shape()))
            }
            ReadType::Floats(dtype) => self.groups.to_floats(stored, dtype),
        }
    }

    fn read_packed(&self, stored: &dyn TensorSource) -> Option<PackedMatrix> {
        match self.read_type {
            ReadType::Packed(format) => self.groups.pack(stored, format).ok(),
            ReadType::Floats(_) => None,
        }
    }
}

/// The number of groups of `inputs` inputs; without a size, all inputs are one group.
///
/// # Errors
/// If the inputs are no multiple of it.
pub(super) fn group_count(tensor: &str, inputs: usize, group_size: Option<usize>) -> Result<usize, TensorError> {
    match group_size {
        None => Ok(1),
        Some(size) if inputs.is_multiple_of(size) => Ok(inputs / size),
        Some(size) => {
            let reason = format!("{inputs} inputs are no multiple of quantization_config.group_size = {size}");
            Err(stored::broken(tensor, reason))
        }
    }
}
