//! [`F32x16`] in four 128-bit registers of WebAssembly. Multiply and add are two instructions, each of which rounds, so the
//! results are those of [`Portable`](super::Portable) to the bit.
//!
//! The instructions are part of the build (`-Ctarget-feature=+simd128`): a module cannot ask for them at run time, and a
//! browser without them refuses it as a whole.

use super::F32x16;
use std::arch::wasm32::*;

/// Four registers of four floats.
#[derive(Clone, Copy)]
pub struct Simd128([v128; 4]);

/// 2¹¹²: the difference of the exponent biases of f32 and f16, as a factor. It is exact, also for subnormal numbers.
const F16_SCALE: f32 = 5.192_296_9e33;

/// Four half-precision numbers, in the low halves of the lanes, as floats.
#[inline(always)]
fn f16_lanes(bits: v128) -> v128 {
    let magnitude = u32x4_shl(v128_and(bits, u32x4_splat(0x7fff)), 13);
    let value = f32x4_mul(magnitude, f32x4_splat(F16_SCALE));
    // The greatest exponent stands for infinity and NaN in both formats.
    let is_special = u32x4_ge(magnitude, u32x4_splat(0x7c00 << 13));
    let special = v128_and(is_special, u32x4_splat(0x7f80_0000));
    let sign = u32x4_shl(v128_and(bits, u32x4_splat(0x8000)), 16);
    v128_or(v128_or(value, special), sign)
}

/// Eight 16-bit integers as four lanes of 32 bits twice, in order.
#[inline(always)]
fn widen_u16(values: v128) -> [v128; 2] {
    [u32x4_extend_low_u16x8(values), u32x4_extend_high_u16x8(values)]
}

/// Sixteen unsigned bytes as floats.
#[inline(always)]
fn widen_u8(bytes: v128) -> [v128; 4] {
    let ([a, b], [c, d]) = (widen_u16(u16x8_extend_low_u8x16(bytes)), widen_u16(u16x8_extend_high_u8x16(bytes)));
    // Integers up to 255 are the same signed and unsigned; the signed conversion is one instruction of x86.
    [a, b, c, d].map(|lane| f32x4_convert_i32x4(lane))
}

/// Loads two registers from 32 bytes.
#[inline(always)]
#[allow(unsafe_code)]
fn load_pair(bytes: &[u8; 32]) -> [v128; 2] {
    let at = bytes.as_ptr().cast::<v128>();
    // SAFETY: the array has room for two registers; loads need no alignment.
    unsafe { [v128_load(at), v128_load(at.add(1))] }
}

// SAFETY: the module is compiled only for targets with these instructions.
#[allow(unsafe_code)]
unsafe impl F32x16 for Simd128 {
    type Bytes = v128;
    /// Of the sixteen registers of x86, one value takes four.
    const REGISTERS: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([f32x4_splat(value); 4])
    }
    #[inline(always)]
    fn load(values: &[f32; 16]) -> Self {
        let at = values.as_ptr().cast::<v128>();
        // SAFETY: the array has room for four registers; loads need no alignment.
        unsafe { Self([v128_load(at), v128_load(at.add(1)), v128_load(at.add(2)), v128_load(at.add(3))]) }
    }
    #[inline(always)]
    fn store(self, values: &mut [f32; 16]) {
        let at = values.as_mut_ptr().cast::<v128>();
        let [a, b, c, d] = self.0;
        // SAFETY: the array has room for four registers; stores need no alignment.
        unsafe {
            v128_store(at, a);
            v128_store(at.add(1), b);
            v128_store(at.add(2), c);
            v128_store(at.add(3), d);
        }
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, added: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) = (self.0, factor.0, added.0);
        Self([
            f32x4_add(f32x4_mul(a, e), i),
            f32x4_add(f32x4_mul(b, f), j),
            f32x4_add(f32x4_mul(c, g), k),
            f32x4_add(f32x4_mul(d, h), l),
        ])
    }
    #[inline(always)]
    fn f16_to_f32(bytes: [u8; 2]) -> f32 {
        f32x4_extract_lane::<0>(f16_lanes(u32x4_splat(u32::from(u16::from_le_bytes(bytes)))))
    }
    #[inline(always)]
    fn load_bytes(bytes: &[u8; 16]) -> v128 {
        // SAFETY: the array has sixteen bytes; the load needs no alignment.
        unsafe { v128_load(bytes.as_ptr().cast()) }
    }
    #[inline(always)]
    fn shr_and(bytes: v128, by: u32, mask: u8) -> v128 {
        // x86 has no shift of bytes: a 16-bit shift moves in bits of the neighboring byte, which the mask clears.
        v128_and(u16x8_shr(bytes, by), u8x16_splat((0xff >> by) & mask))
    }
    #[inline(always)]
    fn or_shl(low: v128, high: v128, by: u32) -> v128 {
        v128_or(low, v128_and(u16x8_shl(high, by), u8x16_splat(0xff << by)))
    }
    #[inline(always)]
    fn spread_bits(bits: [u8; 2]) -> v128 {
        // Each lane tests its own bit of its byte; a comparison gives −1 for true.
        let [low, high] = bits.map(|byte| u64::from(byte).wrapping_mul(0x0101_0101_0101_0101));
        let own_bit = u64x2_splat(0x8040_2010_0804_0201);
        v128_and(u8x16_eq(v128_and(u64x2(low, high), own_bit), own_bit), u8x16_splat(1))
    }
    #[inline(always)]
    fn look_up(table: &[i8; 16], indices: v128) -> v128 {
        // SAFETY: the array has sixteen bytes; the load needs no alignment.
        u8x16_swizzle(unsafe { v128_load(table.as_ptr().cast()) }, indices)
    }
    #[inline(always)]
    fn from_u8(bytes: v128) -> Self {
        Self(widen_u8(bytes))
    }
    #[inline(always)]
    fn from_i8(bytes: v128) -> Self {
        let (low, high) = (i16x8_extend_low_i8x16(bytes), i16x8_extend_high_i8x16(bytes));
        let integers = [
            i32x4_extend_low_i16x8(low),
            i32x4_extend_high_i16x8(low),
            i32x4_extend_low_i16x8(high),
            i32x4_extend_high_i16x8(high),
        ];
        Self(integers.map(|lane| f32x4_convert_i32x4(lane)))
    }
    #[inline(always)]
    fn load_f16(bytes: &[u8; 32]) -> Self {
        let [[a, b], [c, d]] = load_pair(bytes).map(widen_u16);
        Self([a, b, c, d].map(f16_lanes))
    }
    #[inline(always)]
    fn load_bf16(bytes: &[u8; 32]) -> Self {
        let [[a, b], [c, d]] = load_pair(bytes).map(widen_u16);
        Self([a, b, c, d].map(|bits| u32x4_shl(bits, 16)))
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        let by4 = f32x4_add(f32x4_add(a, c), f32x4_add(b, d));
        let by2 = f32x4_add(by4, i32x4_shuffle::<2, 3, 0, 1>(by4, by4));
        f32x4_extract_lane::<0>(by2) + f32x4_extract_lane::<1>(by2)
    }
}
