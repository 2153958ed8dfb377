//! Sixteen values of a page: a vector register, how it is read, and how those of the next page are fetched.

use crate::packed::f32x16::F32x16;
use kiln_spec::pages::PAGE_SIZE;

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

/// The page that is read after the current one.
///
/// It is fetched into the second-level cache meanwhile. Else memory and arithmetic take turns: the machine looks a few dozen cycles
/// ahead, memory takes hundreds, and what it fetches on its own ends at each border of 4 KiB.
#[derive(Clone, Copy)]
pub struct NextPage<'a, E> {
    /// All values of the page.
    pub lines: &'a [E],
    /// Key-value heads from that of the current page to that which is read next.
    pub heads: isize,
}

impl<E: PageLine> NextPage<'_, E> {
    /// The rows that are read after those of `slice`.
    #[inline(always)]
    pub fn rows(&self, slice: HeadSlice) -> NextRows<E> {
        let lines = self.heads * (PAGE_SIZE * slice.stride) as isize;
        NextRows(self.lines.as_ptr().wrapping_add(slice.start).wrapping_offset(lines))
    }
}

/// Address of rows that are read later.
#[derive(Clone, Copy)]
pub struct NextRows<E>(*const E);

impl<E: PageLine> NextRows<E> {
    /// The rows from line `index` on.
    #[inline(always)]
    pub fn skip(self, index: usize) -> Self {
        Self(self.0.wrapping_add(index))
    }

    /// Tells the machine to fetch line `index`. Doesn't wait; computes nothing. Of two half cache lines the first is enough.
    #[inline(always)]
    pub fn prefetch(self, index: usize) {
        if size_of::<E>() < 64 && index % 2 == 1 {
            return;
        }
        let address = self.0.wrapping_add(index);
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
}

/// Rows of one head of one cached tensor: `[PAGE_SIZE, stride · LANES]` of each page.
#[derive(Clone, Copy, PartialEq)]
pub struct HeadSlice {
    /// Index of the first line within a page.
    pub start: usize,
    /// Lines from one row to the next.
    pub stride: usize,
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
