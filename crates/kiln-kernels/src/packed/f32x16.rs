//! Sixteen numbers at once: plainly, and in the registers of machines that have them.

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// Sixteen 32-bit floats, made from sixteen bytes.
///
/// # Safety
/// Each implementation names the instructions that it is made of; its functions may run where the machine has them.
#[allow(unsafe_code)]
pub unsafe trait F32x16: Copy {
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
    fn f16_to_f32(bytes: [u8; 2]) -> f32;
    /// Bytes from memory.
    fn load_bytes(bytes: &[u8; 16]) -> Self::Bytes;
    /// (byte ≫ by) & mask.
    fn shr_and<const BY: i32>(bytes: Self::Bytes, mask: u8) -> Self::Bytes;
    /// low | (high ≪ 4).
    fn or_shl4(low: Self::Bytes, high: Self::Bytes) -> Self::Bytes;
    /// Whole numbers from 0 to 255.
    fn from_u8(bytes: Self::Bytes) -> Self;
    /// Whole numbers from −128 to 127.
    fn from_i8(bytes: Self::Bytes) -> Self;

    /// Sixteen 16-bit floats from memory.
    fn load_f16(bytes: &[u8; 32]) -> Self;
    /// Sixteen floats from memory of which the upper 16 bits are kept: BF16.
    fn load_bf16(bytes: &[u8; 32]) -> Self;

    /// self − number, of whole numbers.
    #[inline(always)]
    fn sub(self, number: f32) -> Self {
        self.mul_add(Self::splat(1.0), Self::splat(-number))
    }

    /// The sum of all that four have.
    #[inline(always)]
    fn sum4([a, b, c, d]: [Self; 4]) -> f32 {
        let one = Self::splat(1.0);
        a.mul_add(one, b).mul_add(one, c.mul_add(one, d)).sum()
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
pub struct Portable([f32; 16]);

// SAFETY: plain Rust runs on every machine.
#[allow(unsafe_code)]
unsafe impl F32x16 for Portable {
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
    fn f16_to_f32(bytes: [u8; 2]) -> f32 {
        burn::tensor::f16::from_le_bytes(bytes).to_f32()
    }
    #[inline(always)]
    fn load_bytes(bytes: &[u8; 16]) -> [u8; 16] {
        *bytes
    }
    #[inline(always)]
    fn shr_and<const BY: i32>(bytes: [u8; 16], mask: u8) -> [u8; 16] {
        bytes.map(|byte| (byte >> BY) & mask)
    }
    #[inline(always)]
    fn or_shl4(low: [u8; 16], high: [u8; 16]) -> [u8; 16] {
        std::array::from_fn(|i| low[i] | (high[i] << 4))
    }
    #[inline(always)]
    fn from_u8(bytes: [u8; 16]) -> Self {
        Self(bytes.map(f32::from))
    }
    #[inline(always)]
    fn from_i8(bytes: [u8; 16]) -> Self {
        Self(bytes.map(|byte| f32::from(byte as i8)))
    }
    #[inline(always)]
    fn load_f16(bytes: &[u8; 32]) -> Self {
        Self(std::array::from_fn(|i| Self::f16_to_f32([bytes[2 * i], bytes[2 * i + 1]])))
    }
    #[inline(always)]
    fn load_bf16(bytes: &[u8; 32]) -> Self {
        Self(std::array::from_fn(|i| f32::from_le_bytes([0, 0, bytes[2 * i], bytes[2 * i + 1]])))
    }
}

/// Compiles a call for each kind of registers, and makes that which the machine can run.
macro_rules! dispatch_simd {
    ($call:ident::<$Groups:ident>($($arg:ident: $type:ty),*)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            use $crate::packed::f32x16::{Avx2, Avx512};
            #[target_feature(enable = "avx512f,avx2,f16c,fma")]
            fn widest($($arg: $type),*) {
                $call::<$Groups, Avx512>($($arg),*);
            }
            #[target_feature(enable = "avx2,f16c,fma")]
            fn wide($($arg: $type),*) {
                $call::<$Groups, Avx2>($($arg),*);
            }
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if has_avx2 && is_x86_feature_detected!("f16c") {
                // SAFETY: the machine has what each is compiled for.
                #[allow(unsafe_code)]
                return unsafe {
                    if is_x86_feature_detected!("avx512f") { widest($($arg),*) } else { wide($($arg),*) }
                };
            }
        }
        $call::<$Groups, $crate::packed::f32x16::Portable>($($arg),*);
    }};
}

pub(super) use dispatch_simd;
