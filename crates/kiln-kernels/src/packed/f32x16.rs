//! Sixteen 32-bit floats as one value: portable, AVX2, AVX-512 and WebAssembly (simd128) implementations of one trait.
//!
//! The products with packed rows are written once over [`F32x16`] and compiled for each instruction set by
//! `dispatch_simd!`, which picks one at run time, and in WebAssembly at compile time. Sixteen is the group size of every block format here and one AVX-512
//! register.
//!
//! AVX2 and AVX-512 fuse multiply and add (one rounding), the portable version and simd128 round twice. The sums have the same
//! order everywhere, so AVX2 and AVX-512 give equal bits, and so do the other two.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(target_arch = "x86_64")]
mod x86;

/// The implementation that every machine of the target has.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub type Baseline = Portable;
/// The implementation that every machine of the target has.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub type Baseline = simd128::Simd128;

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// Sixteen 32-bit floats, and sixteen bytes that are decoded into them.
///
/// # Safety
/// An implementation may use instructions that not every machine has. Its functions may be called only on a machine that has
/// them, inside a function compiled for them (`#[target_feature]`): `dispatch_simd!` ensures both.
#[allow(unsafe_code)]
pub unsafe trait F32x16: Copy {
    /// Register of sixteen bytes.
    type Bytes: Copy;
    /// Number of values of this type that registers hold at once.
    const REGISTERS: usize;

    /// Number of sums that a loop keeps in registers, beside what it loads.
    const SUMS: usize = 4;

    /// Sets all lanes to `value`.
    fn splat(value: f32) -> Self;
    /// Loads sixteen floats; no alignment is needed.
    fn load(values: &[f32; 16]) -> Self;
    /// Stores sixteen floats.
    fn store(self, values: &mut [f32; 16]);
    /// self · factor + added, lane by lane, rounded once (fused) or twice.
    fn mul_add(self, factor: Self, added: Self) -> Self;
    /// Converts an IEEE half-precision number, little-endian.
    fn f16_to_f32(bytes: [u8; 2]) -> f32;
    /// Loads sixteen bytes; no alignment is needed.
    fn load_bytes(bytes: &[u8; 16]) -> Self::Bytes;
    /// (byte ≫ by) & mask for each byte, `by` in 0..8. A constant `by` becomes a shift by a constant.
    fn shr_and(bytes: Self::Bytes, by: u32, mask: u8) -> Self::Bytes;
    /// low | (high ≪ by) for each byte, `by` in 0..8.
    fn or_shl(low: Self::Bytes, high: Self::Bytes, by: u32) -> Self::Bytes;
    /// Sixteen bits as bytes 0 and 1, the lowest bit of the first byte first.
    fn spread_bits(bits: [u8; 2]) -> Self::Bytes;
    /// table\[index\] for each byte, an index in 0..16.
    fn look_up(table: &[i8; 16], indices: Self::Bytes) -> Self::Bytes;
    /// Converts unsigned bytes, 0 to 255.
    fn from_u8(bytes: Self::Bytes) -> Self;
    /// Converts signed bytes, −128 to 127.
    fn from_i8(bytes: Self::Bytes) -> Self;

    /// Loads sixteen IEEE half-precision numbers.
    fn load_f16(bytes: &[u8; 32]) -> Self;
    /// Loads sixteen bfloat16 numbers: the upper 16 bits of an f32 each.
    fn load_bf16(bytes: &[u8; 32]) -> Self;

    /// self − value in each lane; exact for the small integers of block formats.
    #[inline(always)]
    fn sub(self, value: f32) -> Self {
        self.mul_add(Self::splat(1.0), Self::splat(-value))
    }

    /// Sum of all lanes of four registers: (a + b) + (c + d) lane by lane, then [`sum`](Self::sum).
    #[inline(always)]
    fn sum4([a, b, c, d]: [Self; 4]) -> f32 {
        let one = Self::splat(1.0);
        a.mul_add(one, b).mul_add(one, c.mul_add(one, d)).sum()
    }

    /// Sums of the lanes of sixteen registers: lane i is [`sum`](Self::sum) of register i, to the bit.
    #[inline(always)]
    fn sum16(registers: [Self; 16]) -> Self {
        Self::load(&registers.map(Self::sum))
    }

    /// Sum of the sixteen lanes as a tree: lane i + lane i + 8, then 4, 2 and 1 apart. Depth 4 bounds the rounding error.
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut values = [0.0; 16];
        self.store(&mut values);
        for width in [8, 4, 2, 1] {
            for i in 0..width {
                values[i] += values[i + width];
            }
        }
        values[0]
    }
}

/// Implementation in plain Rust, for every machine.
#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
#[derive(Clone, Copy)]
pub struct Portable([f32; 16]);

// SAFETY: plain Rust runs on every machine.
#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
#[allow(unsafe_code)]
unsafe impl F32x16 for Portable {
    type Bytes = [u8; 16];
    const REGISTERS: usize = 4;

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
    fn shr_and(bytes: [u8; 16], by: u32, mask: u8) -> [u8; 16] {
        bytes.map(|byte| (byte >> by) & mask)
    }
    #[inline(always)]
    fn or_shl(low: [u8; 16], high: [u8; 16], by: u32) -> [u8; 16] {
        std::array::from_fn(|i| low[i] | (high[i] << by))
    }
    #[inline(always)]
    fn spread_bits(bits: [u8; 2]) -> [u8; 16] {
        std::array::from_fn(|i| (bits[i / 8] >> (i % 8)) & 1)
    }
    #[inline(always)]
    fn look_up(table: &[i8; 16], indices: [u8; 16]) -> [u8; 16] {
        indices.map(|index| table[usize::from(index & 15)].cast_unsigned())
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

/// Compiles a call for AVX-512, AVX2 and any machine, and runs the widest version that the machine supports. A call without a
/// format is written `call::<>(…)`.
macro_rules! dispatch_simd {
    ($call:ident::<$($Format:ident)?>($($arg:ident: $type:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            use $crate::packed::f32x16::{Avx2, Avx512};
            #[target_feature(enable = "avx512f,avx2,f16c,fma")]
            fn with_avx512($($arg: $type),*) {
                $call::<$($Format,)? Avx512>($($arg),*);
            }
            #[target_feature(enable = "avx2,f16c,fma")]
            fn with_avx2($($arg: $type),*) {
                $call::<$($Format,)? Avx2>($($arg),*);
            }
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if has_avx2 && is_x86_feature_detected!("f16c") {
                // SAFETY: the machine has the features that the called version is compiled for.
                #[allow(unsafe_code)]
                return unsafe {
                    if is_x86_feature_detected!("avx512f") { with_avx512($($arg),*) } else { with_avx2($($arg),*) }
                };
            }
        }
        $call::<$($Format,)? $crate::packed::f32x16::Baseline>($($arg),*);
    }};
}

pub(crate) use dispatch_simd;

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(always)]
    fn both_sums<const N: usize, S: F32x16>(rows: &[[f32; 16]; 16], out: &mut [[f32; 16]; 2]) {
        let mut registers = [S::splat(0.0); 16];
        for (register, row) in registers.iter_mut().zip(rows) {
            *register = S::load(row);
        }
        S::sum16(registers).store(&mut out[0]);
        for (out, register) in out[1].iter_mut().zip(registers) {
            *out = register.sum();
        }
    }

    /// Both sums by the instructions of the machine.
    fn dispatched(rows: &[[f32; 16]; 16], out: &mut [[f32; 16]; 2]) {
        const N: usize = 0;
        dispatch_simd!(both_sums::<N>(rows: &[[f32; 16]; 16], out: &mut [[f32; 16]; 2]))
    }

    #[cfg(target_arch = "x86_64")]
    fn with_avx2(rows: &[[f32; 16]; 16], out: &mut [[f32; 16]; 2]) {
        #[target_feature(enable = "avx2,f16c,fma")]
        fn run(rows: &[[f32; 16]; 16], out: &mut [[f32; 16]; 2]) {
            both_sums::<0, Avx2>(rows, out);
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            // SAFETY: the machine has the features that `run` is compiled for.
            #[allow(unsafe_code)]
            unsafe {
                run(rows, out);
            }
        }
    }

    /// Every operation except the fused one, on sixteen bytes and on sixteen 16-bit numbers: 16 lanes a result.
    #[inline(always)]
    fn operations<const N: usize, S: F32x16>(bytes: &[u8; 16], halves: &[u8; 32], out: &mut [[f32; 16]; OPERATIONS]) {
        let loaded = S::load_bytes(bytes);
        let mut results = [S::splat(0.0); OPERATIONS];
        results[0] = S::from_u8(loaded);
        results[1] = S::from_i8(loaded);
        results[2] = S::load_f16(halves);
        results[3] = S::load_bf16(halves);
        results[4] = S::splat(S::f16_to_f32([halves[0], halves[1]]));
        results[5] = S::from_u8(S::spread_bits([bytes[0], bytes[1]]));
        results[6] = S::from_i8(S::look_up(&TABLE, S::shr_and(loaded, 4, 15)));
        results[7] = results[1].sub(32.0);
        for by in 0..8 {
            results[8 + by as usize] = S::from_u8(S::shr_and(loaded, by, 0x5d));
            results[16 + by as usize] = S::from_u8(S::or_shl(S::shr_and(loaded, by, 3), loaded, by));
        }
        for (out, result) in out.iter_mut().zip(results) {
            result.store(out);
        }
    }

    const OPERATIONS: usize = 24;
    const TABLE: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

    /// The operations by the instructions of the machine.
    fn dispatched_operations(bytes: &[u8; 16], halves: &[u8; 32], out: &mut [[f32; 16]; OPERATIONS]) {
        const N: usize = 0;
        dispatch_simd!(operations::<N>(bytes: &[u8; 16], halves: &[u8; 32], out: &mut [[f32; 16]; OPERATIONS]))
    }

    /// Equal floats, where all NaNs are equal.
    fn same_bits(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
    }

    #[test]
    fn operations_are_those_of_plain_rust() {
        // 4096 times sixteen numbers: every half-precision and every bfloat16 number, and every byte.
        for first in (0..=u16::MAX).step_by(16) {
            let mut halves = [0; 32];
            for (i, half) in halves.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                *half = (first + i as u16).to_le_bytes();
            }
            let bytes: [u8; 16] = std::array::from_fn(|i| ((usize::from(first) * 7 + 89 * i) >> (i % 3)) as u8);
            let (mut machine, mut plain) = ([[0.0; 16]; OPERATIONS], [[0.0; 16]; OPERATIONS]);
            dispatched_operations(&bytes, &halves, &mut machine);
            operations::<0, Portable>(&bytes, &halves, &mut plain);
            for (operation, (machine, plain)) in machine.iter().zip(&plain).enumerate() {
                let is_same = machine.iter().zip(plain).all(|(a, b)| same_bits(*a, *b));
                assert!(is_same, "operation {operation} from {first}: {machine:?} {plain:?}");
            }
        }
    }

    #[test]
    fn sixteen_sums_at_once_are_each_sum_to_the_bit() {
        let value = |i: usize, k: usize| ((i * 16 + k) as f32 * 0.731).sin() * 3f32.powi((i + 5 * k) as i32 % 9 - 4);
        let rows: [[f32; 16]; 16] = std::array::from_fn(|i| std::array::from_fn(|k| value(i, k)));
        let mut portable = [[0.0; 16]; 2];
        both_sums::<0, Portable>(&rows, &mut portable);
        let mut runs = vec![portable; 2];
        dispatched(&rows, &mut runs[0]);
        #[cfg(target_arch = "x86_64")]
        with_avx2(&rows, &mut runs[1]);
        for [at_once, alone] in runs {
            assert_eq!(at_once, portable[1]);
            assert_eq!(alone, portable[1]);
        }
    }
}
