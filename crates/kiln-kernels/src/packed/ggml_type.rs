//! The list of block formats (ggml types): name, sizes and functions of each.

use super::{float_formats, group_quants};
use rayon::prelude::*;

/// Blocks that one thread dequantizes at a time: at least 64 KiB of values.
const TASK_BLOCKS: usize = 16 * 1024;

/// Block format of packed values (ggml type).
#[derive(Debug)]
pub struct GgmlType {
    /// Name as llama.cpp writes it: `Q4_K`.
    pub name: &'static str,
    /// Type id in GGUF files (`ggml_type`).
    pub type_id: u32,
    /// Number of values in a block.
    pub block_size: usize,
    /// Number of bytes of a block.
    pub block_bytes: usize,
    /// Function that dequantizes whole blocks.
    dequantize: fn(&[u8], &mut [f32]),
    /// Matrix–vector product from packed rows, for formats that have one.
    pub(super) mat_vec: Option<MatVecFn>,
    /// Products of packed rows with several rows of x, each with the bits that it has alone.
    pub(crate) dot_products: DotProductsFn,
}

/// Matrix–vector product: (packed rows, x, out), out_r = Σ_c row_rc x_c.
pub(super) type MatVecFn = fn(&[u8], &[f32], &mut [f32]);

/// Products of packed rows with n rows of x: (packed rows, x `[n, columns]`, columns, out `[rows, n]`), out_ri = Σ_c row_rc x_ic.
///
/// The order of a sum is that of [`MatVecFn`], a function of the format and the number of columns: a row of x gives the same
/// bits alone and among others.
pub(crate) type DotProductsFn = fn(&[u8], &[f32], usize, &mut [f32]);

impl PartialEq for GgmlType {
    fn eq(&self, other: &Self) -> bool {
        self.type_id == other.type_id
    }
}

impl GgmlType {
    /// Dequantizes whole blocks into `out`. Blocks without room in `out`, and elements without a block, are left unchanged.
    pub fn dequantize(&self, blocks: &[u8], out: &mut [f32]) {
        (self.dequantize)(blocks, out);
    }

    /// [`dequantize`](Self::dequantize) by several threads.
    pub fn par_dequantize(&self, blocks: &[u8], out: &mut [f32]) {
        let tasks = out.par_chunks_mut(TASK_BLOCKS * self.block_size);
        tasks
            .zip(blocks.par_chunks(TASK_BLOCKS * self.block_bytes))
            .for_each(|(out, blocks)| self.dequantize(blocks, out));
    }

    /// Whether a product with one vector reads the packed rows directly instead of dequantizing them first.
    pub fn has_mat_vec(&self) -> bool {
        self.mat_vec.is_some()
    }

    /// Returns the number of bytes of `values` values; `None` if they don't fill whole blocks, or the number overflows.
    pub fn byte_len(&self, values: usize) -> Option<usize> {
        values
            .is_multiple_of(self.block_size)
            .then(|| (values / self.block_size).checked_mul(self.block_bytes))
            .flatten()
    }

    /// Returns the format with this type id, or `None` if Kiln doesn't support it.
    pub fn from_type_id(type_id: u32) -> Option<&'static GgmlType> {
        GGML_TYPES.iter().find(|format| format.type_id == type_id)
    }

    /// Returns ggml's name of a type id, whether Kiln supports the type or not; `None` if ggml has no such type.
    pub fn name_of(type_id: u32) -> Option<&'static str> {
        let unsupported = || UNSUPPORTED_TYPES.iter().find(|(id, _)| *id == type_id).map(|(_, name)| *name);
        Self::from_type_id(type_id).map(|format| format.name).or_else(unsupported)
    }

    /// Returns the format of this name (`Q4_K`, case-sensitive), or `None` if Kiln doesn't support it.
    pub fn from_name(name: &str) -> Option<&'static GgmlType> {
        GGML_TYPES.iter().find(|format| format.name == name)
    }
}

/// Format with a matrix–vector product from packed rows: `$file::$format` has `dot_many` and `dequantize`.
macro_rules! packed_format {
    ($name:literal, $type_id:literal, [$block_size:literal, $block_bytes:literal], $file:ident::$format:ident) => {
        GgmlType {
            name: $name,
            type_id: $type_id,
            block_size: $block_size,
            block_bytes: $block_bytes,
            dequantize: $file::$format::dequantize,
            mat_vec: Some(|rows, x, out| $file::$format::dot_many(rows, x, x.len(), out)),
            dot_products: $file::$format::dot_many,
        }
    };
}

/// F32, whose values need no conversion.
const F32: GgmlType = GgmlType {
    name: "F32",
    type_id: 0,
    block_size: 1,
    block_bytes: 4,
    dequantize: float_formats::f32_format::dequantize,
    mat_vec: None,
    dot_products: float_formats::f32_format::dot_many,
};

/// All supported formats, by ascending type id.
pub static GGML_TYPES: [GgmlType; 17] = [
    F32,
    packed_format!("F16", 1, [1, 2], float_formats::f16_format),
    packed_format!("Q4_0", 2, [32, 18], group_quants::q4_0),
    packed_format!("Q4_1", 3, [32, 20], group_quants::q4_1),
    packed_format!("Q5_0", 6, [32, 22], group_quants::q5_0),
    packed_format!("Q5_1", 7, [32, 24], group_quants::q5_1),
    packed_format!("Q8_0", 8, [32, 34], group_quants::q8_0),
    packed_format!("Q2_K", 10, [256, 84], group_quants::q2_k),
    packed_format!("Q3_K", 11, [256, 110], group_quants::q3_k),
    packed_format!("Q4_K", 12, [256, 144], group_quants::q4_k),
    packed_format!("Q5_K", 13, [256, 176], group_quants::q5_k),
    packed_format!("Q6_K", 14, [256, 210], group_quants::q6_k),
    packed_format!("Q8_K", 15, [256, 292], group_quants::q8_k),
    packed_format!("IQ4_NL", 20, [32, 18], group_quants::iq4_nl),
    packed_format!("IQ4_XS", 23, [256, 136], group_quants::iq4_xs),
    packed_format!("BF16", 30, [1, 2], float_formats::bf16_format),
    packed_format!("MXFP4", 39, [32, 17], group_quants::mxfp4),
];

/// The other types of ggml (`enum ggml_type`), so that an error can name them. Types 4, 5, 31 to 33 and 36 to 38 were removed
/// from ggml; old files have them.
const UNSUPPORTED_TYPES: [(u32, &str); 25] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_ggml_has_one_name() {
        let names: Vec<&str> = (0..42).filter_map(GgmlType::name_of).collect();
        assert_eq!(names.len(), GGML_TYPES.len() + UNSUPPORTED_TYPES.len());
        assert_eq!(names.len(), 42, "the ids of ggml have no gap");
        assert!(names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1));
        assert_eq!(GgmlType::name_of(42), None);
    }
}
