//! Sixteen values of a page: a vector register, and how it is read.

use crate::packed::f32x16::F32x16;

/// Values of a vector register. Rows are padded with zeros to a multiple of it, so that kernels have no remainders.
pub const LANES: usize = 16;

/// Sixteen 32-bit values, one cache line: no load touches two.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct F32Line(pub [f32; LANES]);

impl F32Line {
    /// Sixteen zeros.
    pub const ZERO: Self = Self([0.0; LANES]);
}

/// Sixteen half-precision numbers, little-endian, half a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct F16Line(pub [[u8; 2]; LANES]);

/// Sixteen values of a page as the kernel reads them.
pub trait PageLine: Copy + Sync {
    /// Loads the values into a register.
    fn load<S: F32x16>(&self) -> S;
}

/// Tells the machine to fetch line `index` into the second-level cache. Doesn't wait; computes nothing.
///
/// Without it, memory and arithmetic take turns: the machine looks a few dozen cycles ahead, memory takes hundreds, and what it
/// fetches on its own ends at each border of 4 KiB.
#[inline(always)]
pub fn prefetch<E: PageLine>(lines: &[E], index: usize) {
    let address = lines.as_ptr().wrapping_add(index);
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: every x86_64 has SSE; a prefetch of an address that is not mapped does nothing.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

impl PageLine for F32Line {
    #[inline(always)]
    fn load<S: F32x16>(&self) -> S {
        S::load(&self.0)
    }
}

impl PageLine for F16Line {
    #[inline(always)]
    fn load<S: F32x16>(&self) -> S {
        let (bytes, _) = self.0.as_flattened().as_chunks::<{ 2 * LANES }>();
        S::load_f16(&bytes[0])
    }
}
