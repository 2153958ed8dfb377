//! [`F32x16`] in the registers of x86_64: two of AVX2, or one of AVX-512. Unaligned loads and stores throughout; they cost
//! nothing extra on aligned addresses.

use super::F32x16;
use std::arch::x86_64::*;

/// Two AVX2 registers of eight floats. Needs AVX2, F16C (half precision) and FMA.
#[derive(Clone, Copy)]
pub struct Avx2(__m256, __m256);

/// One AVX-512 register of sixteen floats. Needs AVX-512F and F16C.
#[derive(Clone, Copy)]
pub struct Avx512(__m512);

/// Operations on sixteen bytes in an SSE register, the same for both float types.
macro_rules! impl_byte_ops {
    () => {
        type Bytes = __m128i;

        #[inline(always)]
        fn f16_to_f32(bytes: [u8; 2]) -> f32 {
            // SAFETY: F16C is among the type's instructions.
            unsafe { _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(u16::from_le_bytes(bytes))))) }
        }
        #[inline(always)]
        fn load_bytes(bytes: &[u8; 16]) -> __m128i {
            // SAFETY: the array has sixteen bytes; the load needs no alignment.
            unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
        }
        #[inline(always)]
        fn shr_and(bytes: __m128i, by: u32, mask: u8) -> __m128i {
            // SAFETY: every x86_64 has SSE2. There is no shift of bytes: a 16-bit shift moves in bits of the
            // neighboring byte, which the mask clears.
            unsafe {
                let shifted = _mm_srl_epi16(bytes, _mm_cvtsi32_si128(by as i32));
                _mm_and_si128(shifted, _mm_set1_epi8(((0xff >> by) & mask) as i8))
            }
        }
        #[inline(always)]
        fn or_shl(low: __m128i, high: __m128i, by: u32) -> __m128i {
            // SAFETY: as above; the mask clears the bits of the neighboring byte.
            unsafe {
                let shifted = _mm_sll_epi16(high, _mm_cvtsi32_si128(by as i32));
                _mm_or_si128(low, _mm_and_si128(shifted, _mm_set1_epi8((0xffu8 << by) as i8)))
            }
        }
        #[inline(always)]
        fn spread_bits(bits: [u8; 2]) -> __m128i {
            // SAFETY: SSE2. Each lane tests its own bit of its byte; a comparison gives −1 for true.
            unsafe {
                let [low, high] = bits.map(|byte| u64::from(byte).wrapping_mul(0x0101_0101_0101_0101) as i64);
                let own_bit = _mm_set1_epi64x(0x8040_2010_0804_0201u64 as i64);
                let is_set = _mm_cmpeq_epi8(_mm_and_si128(_mm_set_epi64x(high, low), own_bit), own_bit);
                _mm_and_si128(is_set, _mm_set1_epi8(1))
            }
        }
        #[inline(always)]
        fn look_up(table: &[i8; 16], indices: __m128i) -> __m128i {
            // SAFETY: SSSE3, which AVX2 includes; the array has sixteen bytes and the load needs no alignment.
            unsafe { _mm_shuffle_epi8(_mm_loadu_si128(table.as_ptr().cast()), indices) }
        }
    };
}

// SAFETY: uses AVX2, F16C and FMA, as the type's documentation states.
#[allow(unsafe_code)]
unsafe impl F32x16 for Avx2 {
    impl_byte_ops!();
    const REGISTERS: usize = 8;

    #[inline(always)]
    fn sum16(x: [Self; 16]) -> Self {
        // SAFETY: AVX. Loops, as a closure would be compiled without AVX where it is not inlined.
        unsafe {
            let (mut by8, mut by4, mut by2, mut by1) = (
                [_mm256_setzero_ps(); 16],
                [_mm256_setzero_ps(); 8],
                [_mm256_setzero_ps(); 4],
                [_mm256_setzero_ps(); 2],
            );
            for i in 0..16 {
                by8[i] = _mm256_add_ps(x[i].0, x[i].1);
            }
            for i in 0..8 {
                let (a, b) = (by8[i / 4 * 8 + i % 4], by8[i / 4 * 8 + i % 4 + 4]);
                by4[i] = _mm256_add_ps(_mm256_blend_ps::<0xf0>(a, b), _mm256_permute2f128_ps::<0x21>(a, b));
            }
            for i in 0..4 {
                let (a, b) = (by4[i / 2 * 4 + i % 2], by4[i / 2 * 4 + i % 2 + 2]);
                by2[i] = _mm256_add_ps(_mm256_blend_ps::<0xcc>(a, b), _mm256_shuffle_ps::<0x4e>(a, b));
            }
            for i in 0..2 {
                let (a, b) = (by2[2 * i], by2[2 * i + 1]);
                let swapped = _mm256_permute_ps::<0xb1>(_mm256_blend_ps::<0x55>(a, b));
                by1[i] = _mm256_add_ps(_mm256_blend_ps::<0xaa>(a, b), swapped);
            }
            Self(by1[0], by1[1])
        }
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: AVX.
        unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    fn load(values: &[f32; 16]) -> Self {
        // SAFETY: the array has sixteen floats.
        unsafe { Self(_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))) }
    }
    #[inline(always)]
    fn store(self, values: &mut [f32; 16]) {
        // SAFETY: the array has room for sixteen floats.
        unsafe {
            _mm256_storeu_ps(values.as_mut_ptr(), self.0);
            _mm256_storeu_ps(values.as_mut_ptr().add(8), self.1);
        }
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, added: Self) -> Self {
        // SAFETY: FMA.
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, added.0), _mm256_fmadd_ps(self.1, factor.1, added.1)) }
    }
    #[inline(always)]
    fn from_u8(bytes: __m128i) -> Self {
        // SAFETY: AVX2.
        unsafe {
            let (low, high) = (_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)));
            Self(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        }
    }
    #[inline(always)]
    fn from_i8(bytes: __m128i) -> Self {
        // SAFETY: AVX2.
        unsafe {
            let (low, high) = (_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)));
            Self(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        }
    }
    #[inline(always)]
    fn load_f16(bytes: &[u8; 32]) -> Self {
        // SAFETY: F16C; the array has 32 bytes, and the loads need no alignment.
        unsafe {
            let [low, high] = [0, 16].map(|at| _mm_loadu_si128(bytes.as_ptr().add(at).cast()));
            Self(_mm256_cvtph_ps(low), _mm256_cvtph_ps(high))
        }
    }
    #[inline(always)]
    fn load_bf16(bytes: &[u8; 32]) -> Self {
        // SAFETY: AVX2; the array has 32 bytes, and the loads need no alignment.
        unsafe {
            let [low, high] = [0, 16].map(|at| {
                let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.as_ptr().add(at).cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
            });
            Self(low, high)
        }
    }
}

// SAFETY: uses AVX-512F and F16C, as the type's documentation states.
#[allow(unsafe_code)]
unsafe impl F32x16 for Avx512 {
    impl_byte_ops!();
    const REGISTERS: usize = 32;

    /// Half of the 32 registers.
    const SUMS: usize = 16;

    #[inline(always)]
    fn sum16(x: [Self; 16]) -> Self {
        // SAFETY: AVX-512F. Loops, as a closure would be compiled without AVX-512 where it is not inlined.
        unsafe {
            let (mut by8, mut by4, mut by2) =
                ([_mm512_setzero_ps(); 8], [_mm512_setzero_ps(); 4], [_mm512_setzero_ps(); 2]);
            for i in 0..8 {
                let (a, b) = (x[i].0, x[i + 8].0);
                by8[i] = _mm512_add_ps(_mm512_mask_blend_ps(0xff00, a, b), _mm512_shuffle_f32x4::<0x4e>(a, b));
            }
            for i in 0..4 {
                let (a, b) = (by8[i], by8[i + 4]);
                let blended = _mm512_mask_blend_ps(0x0f0f, a, b);
                let swapped = _mm512_shuffle_f32x4::<0xb1>(blended, blended);
                by4[i] = _mm512_add_ps(_mm512_mask_blend_ps(0xf0f0, a, b), swapped);
            }
            for i in 0..2 {
                let (a, b) = (by4[i], by4[i + 2]);
                by2[i] = _mm512_add_ps(_mm512_mask_blend_ps(0xcccc, a, b), _mm512_shuffle_ps::<0x4e>(a, b));
            }
            let [a, b] = by2;
            let swapped = _mm512_permute_ps::<0xb1>(_mm512_mask_blend_ps(0x5555, a, b));
            Self(_mm512_add_ps(_mm512_mask_blend_ps(0xaaaa, a, b), swapped))
        }
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: AVX-512F.
        unsafe { Self(_mm512_set1_ps(value)) }
    }
    #[inline(always)]
    fn load(values: &[f32; 16]) -> Self {
        // SAFETY: the array has sixteen floats.
        unsafe { Self(_mm512_loadu_ps(values.as_ptr())) }
    }
    #[inline(always)]
    fn store(self, values: &mut [f32; 16]) {
        // SAFETY: the array has room for sixteen floats.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, added: Self) -> Self {
        // SAFETY: AVX-512F.
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, added.0)) }
    }
    #[inline(always)]
    fn from_u8(bytes: __m128i) -> Self {
        // SAFETY: AVX-512F.
        unsafe { Self(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))) }
    }
    #[inline(always)]
    fn from_i8(bytes: __m128i) -> Self {
        // SAFETY: AVX-512F.
        unsafe { Self(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))) }
    }
    #[inline(always)]
    fn load_f16(bytes: &[u8; 32]) -> Self {
        // SAFETY: AVX-512F; the array has 32 bytes, and the load needs no alignment.
        unsafe { Self(_mm512_cvtph_ps(_mm256_loadu_si256(bytes.as_ptr().cast()))) }
    }
    #[inline(always)]
    fn load_bf16(bytes: &[u8; 32]) -> Self {
        // SAFETY: AVX-512F; the array has 32 bytes, and the load needs no alignment.
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(bytes.as_ptr().cast()));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)))
        }
    }
}
