//! Matrix–vector products from packed rows, and dequantization, of all block formats of integers.
//!
//! In all of them 16 consecutive values share one scale and offset: value = scale · q + offset. A group of 16 is decoded
//! into one register type ([`F32x16`]) and multiplied with 16 values of x. Decoding a token reads each weight once, so memory
//! bandwidth is the limit; a dequantized copy would take 4 to 8 times the memory traffic.
//!
//! Order of a dot product: group i of a block goes to accumulator i mod 4, each of 16 lanes; then [`F32x16::sum4`]. Bound:
//! 2e-6 · Σ |w x| against the product of the dequantized values in f64, for every instruction set (tests below). Machines
//! with and without fused multiply–add may differ in the last bits.
//!
//! Layouts: `block_q4_0` … `block_mxfp4` of ggml-common.h; offsets are in bytes. In formats with an offset, the product of
//! scale and q has at most 22 significant bits. It is exact in f32, so a fused multiply–add gives the bits of ggml's two
//! operations.

mod k_quants;
mod legacy_quants;
mod table_quants;

use super::{
    f32x16::{F32x16, dispatch_simd},
    row_tiles::{RowDot, dot_products},
};
use k_quants::{Q2K, Q3K, Q4K, Q5K, Q6K, Q8K};
use legacy_quants::{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use table_quants::{Iq4Nl, Iq4Xs, Mxfp4};

/// Offset of formats without one. Adding −0 changes no float; adding +0 would turn −0 into +0.
const NEGATIVE_ZERO: f32 = -0.0;

/// Block format in which 16 consecutive values share a scale and an offset.
pub trait GroupQuant {
    /// Number of values in a block, a multiple of 16.
    const BLOCK_SIZE: usize;
    /// Number of bytes of a block.
    const BLOCK_BYTES: usize;

    /// Returns the 16 integers q of group `group` of a block as floats, the scale and the offset.
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32);
}

/// Sixteen bytes from a byte offset.
#[inline(always)]
fn load_bytes<S: F32x16>(block: &[u8], offset: usize) -> S::Bytes {
    S::load_bytes(block[offset..][..16].try_into().expect("sixteen bytes"))
}

/// IEEE half-precision number at a byte offset.
#[inline(always)]
fn read_f16<S: F32x16>(block: &[u8], offset: usize) -> f32 {
    S::f16_to_f32([block[offset], block[offset + 1]])
}

/// The low or the high four bits of each byte.
#[inline(always)]
fn nibbles<S: F32x16>(bytes: S::Bytes, high: bool) -> S::Bytes {
    S::shr_and(bytes, if high { 4 } else { 0 }, 15)
}

/// The products of a format with several rows of x.
struct Groups<G>(std::marker::PhantomData<G>);

impl<G: GroupQuant> RowDot for Groups<G> {
    #[inline(always)]
    fn row_bytes(columns: usize) -> usize {
        columns / G::BLOCK_SIZE * G::BLOCK_BYTES
    }

    #[inline(always)]
    fn dot<S: F32x16, const R: usize>(row: &[u8], x: [&[f32]; R]) -> [f32; R] {
        dot::<G, S, R>(row, x)
    }
}

/// Dot products of one packed row with R rows of x, each in the order of the [module](self).
///
/// No closure: it would be compiled without the caller's instruction set.
#[inline(always)]
fn dot<G: GroupQuant, S: F32x16, const R: usize>(row: &[u8], x: [&[f32]; R]) -> [f32; R] {
    // A multiply–add has a latency of about four cycles: four independent accumulators keep the unit busy.
    let mut sums = [[S::splat(0.0); 4]; R];
    for (number, block) in row.chunks_exact(G::BLOCK_BYTES).enumerate() {
        let mut groups = [&[][..]; R];
        for (groups, x) in groups.iter_mut().zip(x) {
            *groups = x[number * G::BLOCK_SIZE..][..G::BLOCK_SIZE].as_chunks::<16>().0;
        }
        for group in 0..G::BLOCK_SIZE / 16 {
            let (quants, scale, offset) = G::decode_group::<S>(block, group);
            let values = quants.mul_add(S::splat(scale), S::splat(offset));
            for (sums, x) in sums.iter_mut().zip(&groups) {
                sums[group % 4] = values.mul_add(S::load(&x[group]), sums[group % 4]);
            }
        }
    }
    let mut out = [0.0; R];
    for (out, sums) in out.iter_mut().zip(sums) {
        *out = S::sum4(sums);
    }
    out
}

/// Dequantizes whole blocks.
#[inline(always)]
fn dequantize_blocks<G: GroupQuant, S: F32x16>(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in blocks.chunks_exact(G::BLOCK_BYTES).zip(out.chunks_exact_mut(G::BLOCK_SIZE)) {
        let (out, _) = out.as_chunks_mut::<16>();
        for (group, out) in out.iter_mut().enumerate() {
            let (quants, scale, offset) = G::decode_group::<S>(block, group);
            quants.mul_add(S::splat(scale), S::splat(offset)).store(out);
        }
    }
}

/// The functions of a format for its entry in `GGML_TYPES`, compiled for each instruction set.
macro_rules! group_quant_kernels {
    ($($name:ident => $Format:ident),+ $(,)?) => {$(
        pub(super) mod $name {
            use super::{$Format, dequantize_blocks, dispatch_simd, dot_products};

            /// Products of packed rows with rows of x.
            pub fn dot_many(rows: &[u8], x: &[f32], columns: usize, out: &mut [f32]) {
                type Dot = super::Groups<$Format>;
                dispatch_simd!(dot_products::<Dot>(rows: &[u8], x: &[f32], columns: usize, out: &mut [f32]))
            }

            /// Dequantizes whole blocks.
            pub fn dequantize(blocks: &[u8], out: &mut [f32]) {
                dispatch_simd!(dequantize_blocks::<$Format>(blocks: &[u8], out: &mut [f32]))
            }
        }
    )+};
}

group_quant_kernels! {
    q4_0 => Q4_0,
    q4_1 => Q4_1,
    q5_0 => Q5_0,
    q5_1 => Q5_1,
    q8_0 => Q8_0,
    q2_k => Q2K,
    q3_k => Q3K,
    q4_k => Q4K,
    q5_k => Q5K,
    q6_k => Q6K,
    q8_k => Q8K,
    iq4_nl => Iq4Nl,
    iq4_xs => Iq4Xs,
    mxfp4 => Mxfp4,
}

#[cfg(test)]
mod tests {
    use super::{
        super::{GGML_TYPES, ggml_type::DotProductsFn},
        *,
    };
    use crate::packed::f32x16::Portable;
    use kiln_spec::Random;

    /// Compares the dispatched, the portable and the AVX2 product of random rows with one in f64.
    fn check_product<G: GroupQuant>(name: &str, product: DotProductsFn) {
        let format = GGML_TYPES.iter().find(|format| format.name == name).unwrap();
        assert_eq!([format.block_size, format.block_bytes], [G::BLOCK_SIZE, G::BLOCK_BYTES], "{name}");
        let mut random = Random::new(7, name, 0, 0);
        for blocks in [0, 1, 2, 5] {
            let mut row: Vec<u8> = (0..blocks * G::BLOCK_BYTES).map(|_| random.uniform_int(256) as u8).collect();
            // Clears exponent bits of the scales, so that none is infinite or huge.
            for block in row.chunks_exact_mut(G::BLOCK_BYTES) {
                for offset in [0, 2, G::BLOCK_BYTES - 4, G::BLOCK_BYTES - 2] {
                    block[offset + 1] &= 0x37;
                }
                if name == "MXFP4" {
                    block[0] = 0x70 | block[0] & 15;
                }
            }
            let x: Vec<f32> = (0..blocks * G::BLOCK_SIZE).map(|_| random.normal() as f32).collect();
            let mut values = vec![0.0; x.len()];
            format.dequantize(&row, &mut values);
            let terms = values.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (exact, magnitude): (f64, f64) =
                terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            let mut dispatched = [0.0];
            product(&row, &x, x.len(), &mut dispatched);
            for computed in [dispatched[0], dot::<G, Portable, 1>(&row, [&x])[0], dot_avx2::<G>(&row, &x)] {
                assert!((f64::from(computed) - exact).abs() <= 2e-6 * magnitude, "{name}: {computed} {exact}");
            }
        }
    }

    /// The product with AVX2 where the machine has it, even if it has AVX-512; otherwise the portable one.
    fn dot_avx2<G: GroupQuant>(row: &[u8], x: &[f32]) -> f32 {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,f16c,fma")]
            fn compiled<G: GroupQuant>(row: &[u8], x: &[f32]) -> f32 {
                dot::<G, crate::packed::f32x16::Avx2, 1>(row, [x])[0]
            }
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if has_avx2 && is_x86_feature_detected!("f16c") {
                // SAFETY: the machine has the features that `compiled` is compiled for.
                #[allow(unsafe_code)]
                return unsafe { compiled::<G>(row, x) };
            }
        }
        dot::<G, Portable, 1>(row, [x])[0]
    }

    #[test]
    fn products_are_within_their_error_bound() {
        check_product::<Q4_0>("Q4_0", q4_0::dot_many);
        check_product::<Q4_1>("Q4_1", q4_1::dot_many);
        check_product::<Q5_0>("Q5_0", q5_0::dot_many);
        check_product::<Q5_1>("Q5_1", q5_1::dot_many);
        check_product::<Q8_0>("Q8_0", q8_0::dot_many);
        check_product::<Q2K>("Q2_K", q2_k::dot_many);
        check_product::<Q3K>("Q3_K", q3_k::dot_many);
        check_product::<Q4K>("Q4_K", q4_k::dot_many);
        check_product::<Q5K>("Q5_K", q5_k::dot_many);
        check_product::<Q6K>("Q6_K", q6_k::dot_many);
        check_product::<Q8K>("Q8_K", q8_k::dot_many);
        check_product::<Iq4Nl>("IQ4_NL", iq4_nl::dot_many);
        check_product::<Iq4Xs>("IQ4_XS", iq4_xs::dot_many);
        check_product::<Mxfp4>("MXFP4", mxfp4::dot_many);
    }
}
