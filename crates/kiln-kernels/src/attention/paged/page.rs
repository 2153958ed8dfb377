//! Page of cached tensors in host memory, in 32 or 16 bits.

use super::line::{F16Line, F32Line, LANES};
use burn::tensor::f16;
use kiln_spec::pages::PAGE_SIZE;

/// Floating-point type of a cache's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum CacheDtype {
    /// 32 bits.
    #[default]
    F32,
    /// IEEE half precision, 16 bits: half the memory, 11 bits of precision, at most ±65,504.
    F16,
}

impl CacheDtype {
    /// Returns the bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// One cached tensor within a page: `[heads, PAGE_SIZE, stride]`, of which `width` values of a row are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TensorLayout {
    pub heads: usize,
    pub width: usize,
    pub stride: usize,
    /// Index of its first value.
    pub offset: usize,
}

/// Shape of a page: the cached tensors, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageLayout {
    pub(super) tensors: Vec<TensorLayout>,
    dtype: CacheDtype,
    num_values: usize,
}

impl PageLayout {
    /// Returns the layout of pages that hold tensors of `[heads, width]` for each key.
    pub fn new(shapes: &[[usize; 2]], dtype: CacheDtype) -> Self {
        let (mut tensors, mut offset) = (Vec::new(), 0);
        for [heads, width] in shapes.iter().copied() {
            let stride = width.next_multiple_of(LANES);
            tensors.push(TensorLayout { heads, width, stride, offset });
            offset += heads * PAGE_SIZE * stride;
        }
        Self { tensors, dtype, num_values: offset }
    }

    /// Returns the type of the values.
    pub fn dtype(&self) -> CacheDtype {
        self.dtype
    }

    /// Returns heads and width of each tensor.
    pub fn shapes(&self) -> Vec<[usize; 2]> {
        self.tensors.iter().map(|tensor| [tensor.heads, tensor.width]).collect()
    }

    /// Returns the bytes of a page.
    pub fn page_bytes(&self) -> usize {
        self.num_values * self.dtype.size()
    }

    /// Returns an empty page: all values are 0.
    pub fn new_page(&self) -> Page {
        Page(match self.dtype {
            CacheDtype::F32 => PageValues::F32(vec![F32Line::ZERO; self.num_values / LANES]),
            CacheDtype::F16 => PageValues::F16(vec![F16Line([[0; 2]; LANES]); self.num_values / LANES]),
        })
    }

    /// Lines of the row of one head and slot, which has `width` values.
    fn row(&self, [tensor, head, slot]: [usize; 3], width: usize) -> std::ops::Range<usize> {
        let layout = self.tensors[tensor];
        assert!(head < layout.heads && slot < PAGE_SIZE && width == layout.width, "a row of the page");
        let start = (layout.offset + (head * PAGE_SIZE + slot) * layout.stride) / LANES;
        start..start + layout.stride / LANES
    }
}

/// Values of up to [`PAGE_SIZE`] keys: all tensors and heads of one layer and row. Its shape is a [`PageLayout`].
#[derive(Clone, Debug)]
pub struct Page(pub(super) PageValues);

/// Values of a page.
#[derive(Clone, Debug)]
pub(super) enum PageValues {
    F32(Vec<F32Line>),
    F16(Vec<F16Line>),
}

impl Page {
    /// Writes the row of one tensor, head and slot: `values` has the tensor's width.
    ///
    /// # Panics
    /// If the layout has no such row or `values` has another length.
    pub fn write(&mut self, layout: &PageLayout, row: [usize; 3], values: &[f32]) {
        let (lines, values) = (layout.row(row, values.len()), values.chunks(LANES));
        match &mut self.0 {
            PageValues::F32(page) => {
                page[lines]
                    .iter_mut()
                    .zip(values)
                    .for_each(|(line, values)| line.0[..values.len()].copy_from_slice(values));
            }
            PageValues::F16(page) => page[lines].iter_mut().zip(values).for_each(|(line, values)| {
                line.0.iter_mut().zip(values).for_each(|(half, value)| *half = f16::from_f32(*value).to_le_bytes());
            }),
        }
    }

    /// Reads the row of one tensor, head and slot into `out`, which has the tensor's width.
    ///
    /// # Panics
    /// If the layout has no such row or `out` has another length.
    pub fn read(&self, layout: &PageLayout, row: [usize; 3], out: &mut [f32]) {
        let (lines, out) = (layout.row(row, out.len()), out.chunks_mut(LANES));
        match &self.0 {
            PageValues::F32(page) => {
                page[lines].iter().zip(out).for_each(|(line, out)| out.copy_from_slice(&line.0[..out.len()]));
            }
            PageValues::F16(page) => page[lines].iter().zip(out).for_each(|(line, out)| {
                line.0.iter().zip(out).for_each(|(half, out)| *out = f16::from_le_bytes(*half).to_f32());
            }),
        }
    }
}
