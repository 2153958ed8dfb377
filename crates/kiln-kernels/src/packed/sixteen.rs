//! Sixteen numbers at once: plainly, and in the registers of machines that have them.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Sixteen 32-bit floats, made from sixteen bytes.
///
/// # Safety
/// Each implementation names the instructions that it is made of; its functions may run where the machine has them.
#[allow(unsafe_code)]
pub unsafe trait Sixteen: Copy {
    /// Sixteen bytes.
    type Bytes: Copy;

    /// The same everywhere.
    fn splat(value: f32) -> Self;
    /// From memory.
    fn load(values: &[f32; 16]) -> Self;
    /// Into memory.
    fn store(self, values: &mut [f32; 16]);
    /// self · factor + added, which may be rounded once or twice.
    fn mul_add(self, factor: Self, added: Self) -> Self;
    /// A 16-bit float.
    fn half(bytes: [u8; 2]) -> f32;
    /// Bytes from memory.
    fn bytes(bytes: &[u8; 16]) -> Self::Bytes;
    /// (byte ≫ by) & mask.
    fn bits<const BY: i32>(bytes: Self::Bytes, mask: u8) -> Self::Bytes;
    /// low | (high ≪ 4).
    fn above(low: Self::Bytes, high: Self::Bytes) -> Self::Bytes;
    /// Whole numbers from 0 to 255.
    fn unsigned(bytes: Self::Bytes) -> Self;
    /// Whole numbers from −128 to 127.
    fn signed(bytes: Self::Bytes) -> Self;

    /// self − number, of whole numbers.
    #[inline(always)]
    fn less(self, number: f32) -> Self {
        self.mul_add(Self::splat(1.0), Self::splat(-number))
    }

    /// Their sum.
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut values = [0.0; 16];
        self.store(&mut values);
        let halves = |values: [f32; 8], width: usize| {
            let mut values = values;
            for i in 0..width {
                values[i] += values[i + width];
            }
            values
        };
        let eight = std::array::from_fn(|i| values[i] + values[i + 8]);
        halves(halves(halves(eight, 4), 2), 1)[0]
    }
}

/// Without any instruction in particular.
#[derive(Clone, Copy)]
pub struct Plain([f32; 16]);

// SAFETY: plain Rust runs on every machine.
#[allow(unsafe_code)]
unsafe impl Sixteen for Plain {
    type Bytes = [u8; 16];

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 16])
    }
    #[inline(always)]
    fn load(values: &[f32; 16]) -> Self {
        Self(*values)
    }
    #[inline(always)]
    fn store(self, values: &mut [f32; 16]) {
        *values = self.0;
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, added: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * factor.0[i] + added.0[i]))
    }
    #[inline(always)]
    fn half(bytes: [u8; 2]) -> f32 {
        burn::tensor::f16::from_le_bytes(bytes).to_f32()
    }
    #[inline(always)]
    fn bytes(bytes: &[u8; 16]) -> [u8; 16] {
        *bytes
    }
    #[inline(always)]
    fn bits<const BY: i32>(bytes: [u8; 16], mask: u8) -> [u8; 16] {
        bytes.map(|byte| (byte >> BY) & mask)
    }
    #[inline(always)]
    fn above(low: [u8; 16], high: [u8; 16]) -> [u8; 16] {
        std::array::from_fn(|i| low[i] | (high[i] << 4))
    }
    #[inline(always)]
    fn unsigned(bytes: [u8; 16]) -> Self {
        Self(bytes.map(f32::from))
    }
    #[inline(always)]
    fn signed(bytes: [u8; 16]) -> Self {
        Self(bytes.map(|byte| f32::from(byte as i8)))
    }
}

/// Two registers of AVX2; halves by F16C, products and sums by FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx2(__m256, __m256);

/// One register of AVX-512 (F).
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx512(__m512);

/// What works on bytes in one register of SSE2 or AVX, whatever the floats are in.
#[cfg(target_arch = "x86_64")]
macro_rules! in_one_register {
    () => {
        type Bytes = __m128i;

        #[inline(always)]
        fn half(bytes: [u8; 2]) -> f32 {
            // SAFETY: F16C is among the type's instructions.
            unsafe { _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(u16::from_le_bytes(bytes))))) }
        }
        #[inline(always)]
        fn bytes(bytes: &[u8; 16]) -> __m128i {
            // SAFETY: sixteen bytes are there, and may begin anywhere.
            unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
        }
        #[inline(always)]
        fn bits<const BY: i32>(bytes: __m128i, mask: u8) -> __m128i {
            // SAFETY: every x86_64 has SSE2. Shifts of 16 bits bring bits of the neighbour, which the mask takes off.
            unsafe { _mm_and_si128(_mm_srli_epi16::<BY>(bytes), _mm_set1_epi8(((0xff >> BY) & mask) as i8)) }
        }
        #[inline(always)]
        fn above(low: __m128i, high: __m128i) -> __m128i {
            // SAFETY: as above; the mask takes off what comes from the neighbour.
            unsafe { _mm_or_si128(low, _mm_and_si128(_mm_slli_epi16::<4>(high), _mm_set1_epi8(0xf0u8 as i8))) }
        }
    };
}

// SAFETY: AVX2, F16C and FMA.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
unsafe impl Sixteen for Avx2 {
    in_one_register!();

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: AVX.
        unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    fn load(values: &[f32; 16]) -> Self {
        // SAFETY: sixteen floats are there.
        unsafe { Self(_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))) }
    }
    #[inline(always)]
    fn store(self, values: &mut [f32; 16]) {
        // SAFETY: there is room for sixteen floats.
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
    fn unsigned(bytes: __m128i) -> Self {
        // SAFETY: AVX2.
        unsafe {
            let (low, high) = (_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)));
            Self(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        }
    }
    #[inline(always)]
    fn signed(bytes: __m128i) -> Self {
        // SAFETY: AVX2.
        unsafe {
            let (low, high) = (_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)));
            Self(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        }
    }
}

// SAFETY: AVX-512F and F16C.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
unsafe impl Sixteen for Avx512 {
    in_one_register!();

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: AVX-512F.
        unsafe { Self(_mm512_set1_ps(value)) }
    }
    #[inline(always)]
    fn load(values: &[f32; 16]) -> Self {
        // SAFETY: sixteen floats are there.
        unsafe { Self(_mm512_loadu_ps(values.as_ptr())) }
    }
    #[inline(always)]
    fn store(self, values: &mut [f32; 16]) {
        // SAFETY: there is room for sixteen floats.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, added: Self) -> Self {
        // SAFETY: AVX-512F.
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, added.0)) }
    }
    #[inline(always)]
    fn unsigned(bytes: __m128i) -> Self {
        // SAFETY: AVX-512F.
        unsafe { Self(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))) }
    }
    #[inline(always)]
    fn signed(bytes: __m128i) -> Self {
        // SAFETY: AVX-512F.
        unsafe { Self(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))) }
    }
}
