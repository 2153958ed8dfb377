//! MXFP4 (Rouhani et al., arXiv:2310.10537; OCP Microscaling Formats 1.0): 4-bit floats (E2M1) with a power of two for every 32
//! inputs, as gpt-oss stores the matrices of its experts.
//!
//! | tensor | type | shape | |
//! |---|---|---|---|
//! | `T_blocks` | U8 | `[…, out, groups, 16]` | q, two in a byte, the first in the low bits |
//! | `T_scales` | U8 | `[…, out, groups]` | e (E8M0) |
//!
//! w\[o, i\] = 2^(e\[o, ⌊i / 32⌋\] − 127) q\[o, i\]. The logical tensor keeps the name `T_blocks` and has the shape `[…, out, in]`: the
//! reference has `T`, its transpose. ggml's MXFP4 has the same values: a block is the scale and 16 bytes, with the first half of
//! the inputs in the low bits and the second in the high ones. Activations are not quantized.

use super::{
    LogicalTensor, LogicalValues, QuantMethod, QuantOptions, QuantReader,
    stored::{self, broken, check_excluded, require_form},
};
use crate::tensors::{TensorError, TensorInfo, TensorSource};
use burn::tensor::TensorData;
use kiln_kernels::packed::{GgmlType, PackedMatrix};
use kiln_spec::ValidationError;
use rayon::prelude::*;

pub(super) const METHOD: QuantMethod = QuantMethod { name: "mxfp4", stores_linear: false, read_options };

/// Name of ggml's block format with the values.
const FORMAT: &str = "MXFP4";

/// Bytes of the values that share a scale.
const GROUP_BYTES: usize = 16;

/// Groups that one thread packs at a time.
const TASK_GROUPS: usize = 16 * 1024;

/// The scale that stands for NaN.
const NAN_SCALE: u8 = u8::MAX;

struct Mxfp4 {
    excluded: Vec<(String, String)>,
}

fn read_options(options: &QuantOptions) -> Result<Box<dyn QuantReader>, ValidationError> {
    options.fields.ignore(&["dequantize"]);
    let excluded = options.excluded_modules(&["modules_to_not_convert"])?;
    Ok(Box::new(Mxfp4 { excluded }))
}

impl QuantReader for Mxfp4 {
    fn logical_tensors(&self, stored: &dyn TensorSource) -> Result<Vec<LogicalTensor>, TensorError> {
        let modules = stored.entries().keys().filter_map(|name| name.strip_suffix("_blocks"));
        modules.map(|module| self.matrices(module, stored)).collect()
    }
}

impl Mxfp4 {
    /// The matrices of a stack.
    fn matrices(&self, module: &str, stored: &dyn TensorSource) -> Result<LogicalTensor, TensorError> {
        let [blocks, scales] = ["blocks", "scales"].map(|part| format!("{module}_{part}"));
        check_excluded(&self.excluded, module, &blocks)?;
        let found = &stored.entries()[&blocks].shape;
        let [outer @ .., groups, GROUP_BYTES] = &found[..] else {
            return Err(broken(
                &blocks,
                format!("expected the shape […, out, groups, {GROUP_BYTES}], found {found:?}"),
            ));
        };
        require_form(stored, (&blocks, &blocks), &["U8"], found)?;
        require_form(stored, (&scales, &blocks), &["U8"], &[outer, &[*groups]].concat())?;
        let too_large = || broken(&blocks, format!("{found:?} blocks are too many for this machine"));
        let inputs = groups.checked_mul(2 * GROUP_BYTES).ok_or_else(too_large)?;
        let info = TensorInfo { shape: [outer, &[inputs]].concat(), dtype: FORMAT.into() };
        let values = Groups { blocks: blocks.clone(), scales: scales.clone(), shape: info.shape.clone() };
        Ok(LogicalTensor { name: blocks.clone(), info, parts: vec![blocks, scales], values: Box::new(values) })
    }
}

/// Matrices as they are stored.
struct Groups {
    blocks: String,
    scales: String,
    /// Shape of the values.
    shape: Vec<usize>,
}

impl Groups {
    /// The matrices in ggml's format, one below the other.
    fn pack(&self, stored: &dyn TensorSource) -> Result<PackedMatrix, TensorError> {
        let too_large = || broken(&self.blocks, format!("{:?} weights are too many for this machine", self.shape));
        let format = GgmlType::from_name(FORMAT).ok_or_else(|| broken(&self.blocks, "no format for its values"))?;
        let (blocks, scales) = (stored::bytes(stored, &self.blocks)?, stored::bytes(stored, &self.scales)?);
        if let Some(group) = scales.iter().position(|scale| *scale == NAN_SCALE) {
            return Err(broken(&self.scales, format!("expected numbers, found NaN ({NAN_SCALE}) for group {group}")));
        }
        let mut bytes = vec![0; scales.len().checked_mul(1 + GROUP_BYTES).ok_or_else(too_large)?];
        let tasks = bytes.par_chunks_mut(TASK_GROUPS * (1 + GROUP_BYTES));
        let tasks = tasks.zip(blocks.par_chunks(TASK_GROUPS * GROUP_BYTES)).zip(scales.par_chunks(TASK_GROUPS));
        tasks.for_each(|((out, blocks), scales)| {
            let blocks = blocks.as_chunks::<GROUP_BYTES>().0;
            for ((out, block), scale) in out.chunks_exact_mut(1 + GROUP_BYTES).zip(blocks).zip(scales) {
                out[0] = *scale;
                out[1..].copy_from_slice(&by_halves(block));
            }
        });
        let (columns, outer) = self.shape.split_last().ok_or_else(too_large)?;
        PackedMatrix::new(format, [outer.iter().product(), *columns], bytes.into()).ok_or_else(too_large)
    }
}

impl LogicalValues for Groups {
    fn read(&self, stored: &dyn TensorSource) -> Result<TensorData, TensorError> {
        Ok(TensorData::new(self.pack(stored)?.dequantize(), self.shape.clone()))
    }

    fn read_packed(&self, stored: &dyn TensorSource) -> Option<PackedMatrix> {
        self.pack(stored).ok()
    }
}

/// The 4-bit numbers of a group in ggml's order: byte i has number i in its low bits and number 16 + i in its high ones. The file
/// has the numbers 2 i and 2 i + 1 there.
fn by_halves(block: &[u8; GROUP_BYTES]) -> [u8; GROUP_BYTES] {
    let number = |i: usize| block[i / 2] >> (4 * (i % 2)) & 15;
    std::array::from_fn(|i| number(i) | number(GROUP_BYTES + i) << 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_order() {
        // Number i of the group is i mod 16 in the first half, and 15 − i mod 16 in the second.
        let number = |i: usize| if i < 16 { i } else { 31 - i };
        let block = std::array::from_fn(|byte| (number(2 * byte) | number(2 * byte + 1) << 4) as u8);
        let halves = by_halves(&block);
        assert_eq!(halves, std::array::from_fn(|byte| (number(byte) | number(16 + byte) << 4) as u8));
    }
}
