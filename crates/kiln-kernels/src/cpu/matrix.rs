//! Strided matrices over borrowed memory: products without copies, and output memory that threads share by head.
//!
//! Products call the crate `gemm`, on one thread where a kernel splits the work into tasks itself ([`MatrixMut::gemm`]), and
//! on all threads otherwise ([`MatrixMut::par_gemm`]). The order of the sums inside a product depends on its shape and on the
//! machine's cache sizes, never on threads.
//! `gemm` adds the terms of one element in ascending order of k within panels, with fused multiply–add where the machine
//! has it. Two machines may therefore differ in the last bits; one machine never does.

use super::vector::sum;
use burn::backend::flex::FlexTensor;
use gemm::{Parallelism, gemm};
use std::marker::PhantomData;

/// All threads of the pool. A page has one.
#[cfg(not(target_arch = "wasm32"))]
const ALL_THREADS: Parallelism = Parallelism::Rayon(0);
#[cfg(target_arch = "wasm32")]
const ALL_THREADS: Parallelism = Parallelism::None;

/// Read-only view of a matrix: pointer, shape and strides, so that transposes and slices cost nothing.
#[derive(Clone, Copy)]
pub struct MatrixRef<'a> {
    ptr: *const f32,
    /// Number of rows and columns.
    pub shape: [usize; 2],
    strides: [isize; 2],
    marker: PhantomData<&'a f32>,
}

// SAFETY: a view only reads memory that is borrowed for as long as it lives.
#[allow(unsafe_code)]
unsafe impl Sync for MatrixRef<'_> {}

/// Writable view of a matrix. It isn't `Clone`: its elements are borrowed mutably.
pub struct MatrixMut<'a> {
    ptr: *mut f32,
    /// Number of rows and columns.
    pub shape: [usize; 2],
    strides: [isize; 2],
    marker: PhantomData<&'a mut f32>,
}

impl<'a> MatrixRef<'a> {
    /// Returns head `head` of sequence `batch` of a tensor `[B, H, T, D]`, as a matrix `[T, D]`. Any strides.
    ///
    /// # Panics
    /// If the tensor has no such head.
    pub fn head(tensor: &'a FlexTensor, batch: usize, head: usize) -> Self {
        let (layout, storage) = (tensor.layout(), tensor.storage::<f32>());
        let (shape, strides) = (layout.shape(), layout.strides());
        assert!(batch < shape[0] && head < shape[1], "head out of range");
        let offset = layout.start_offset() as isize + batch as isize * strides[0] + head as isize * strides[1];
        // SAFETY: the layout's indices are within its storage, so the first element of a head is too.
        #[allow(unsafe_code)]
        let ptr = unsafe { storage.as_ptr().offset(offset) };
        Self { ptr, shape: [shape[2], shape[3]], strides: [strides[2], strides[3]], marker: PhantomData }
    }

    /// Returns a tensor of two dimensions as a matrix. Any strides.
    ///
    /// # Panics
    /// If the tensor hasn't two dimensions.
    pub fn of(tensor: &'a FlexTensor) -> Self {
        let (layout, storage) = (tensor.layout(), tensor.storage::<f32>());
        let (shape, strides) = (layout.shape(), layout.strides());
        assert_eq!(strides.len(), 2, "dimensions of a matrix");
        // SAFETY: the layout's indices are within its storage, so the first element is too.
        #[allow(unsafe_code)]
        let ptr = unsafe { storage.as_ptr().add(layout.start_offset()) };
        Self { ptr, shape: [shape[0], shape[1]], strides: [strides[0], strides[1]], marker: PhantomData }
    }

    /// Returns a row-major matrix of `size` rows and columns over `values`.
    pub fn row_major(values: &'a [f32], size: [usize; 2]) -> Self {
        Self::columns(values, size, 0, size[1])
    }

    /// Returns `columns` columns, from column `first` on, of a row-major matrix of `width` columns.
    ///
    /// # Panics
    /// If the columns aren't within the matrix, or `values` is shorter than `rows · width`.
    pub fn columns(values: &'a [f32], [rows, columns]: [usize; 2], first: usize, width: usize) -> Self {
        assert!(first + columns <= width && values.len() >= rows * width, "columns out of range");
        Self {
            ptr: values[first..].as_ptr(),
            shape: [rows, columns],
            strides: [width as isize, 1],
            marker: PhantomData,
        }
    }

    /// Returns the first `columns` columns.
    ///
    /// # Panics
    /// If the matrix has fewer columns.
    pub fn narrow(self, columns: usize) -> Self {
        assert!(columns <= self.shape[1], "columns out of range");
        Self { shape: [self.shape[0], columns], ..self }
    }

    /// Returns `count` rows, from row `first` on.
    ///
    /// # Panics
    /// If the rows aren't within the matrix.
    pub fn rows(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.shape[0], "rows out of range");
        // SAFETY: within the matrix, as checked.
        #[allow(unsafe_code)]
        let ptr = unsafe { self.ptr.offset(first as isize * self.strides[0]) };
        Self { ptr, shape: [count, self.shape[1]], ..self }
    }

    /// Returns the transpose, a view of the same memory.
    pub fn transposed(self) -> Self {
        Self { shape: [self.shape[1], self.shape[0]], strides: [self.strides[1], self.strides[0]], ..self }
    }

    /// Returns the dot product of row `row` of two matrices of equal shape, in the order of [`sum`].
    ///
    /// # Panics
    /// If the shapes differ or the matrices have no such row.
    #[allow(unsafe_code)]
    pub fn row_dot(&self, other: &Self, row: usize) -> f32 {
        assert!(self.shape == other.shape && row < self.shape[0], "rows of matrices of equal shape");
        // SAFETY: row and column are within both matrices, as checked here and by the range of the sum.
        sum(self.shape[1], |column| unsafe { self.get_unchecked(row, column) * other.get_unchecked(row, column) })
    }

    /// Returns one element without a bounds check.
    ///
    /// # Safety
    /// `row` and `column` must be within the matrix.
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn get_unchecked(&self, row: usize, column: usize) -> f32 {
        // SAFETY: within the matrix, as the caller guarantees.
        unsafe { *self.ptr.offset(row as isize * self.strides[0] + column as isize * self.strides[1]) }
    }
}

impl<'a> MatrixMut<'a> {
    /// Returns a writable row-major matrix of `size` rows and columns over `values`.
    pub fn row_major(values: &'a mut [f32], size: [usize; 2]) -> Self {
        Self::columns(values, size, 0, size[1])
    }

    /// Returns `columns` writable columns, from column `first` on, of a row-major matrix of `width` columns.
    ///
    /// # Panics
    /// As for [`MatrixRef::columns`].
    pub fn columns(values: &'a mut [f32], [rows, columns]: [usize; 2], first: usize, width: usize) -> Self {
        assert!(first + columns <= width && values.len() >= rows * width, "columns out of range");
        Self {
            ptr: values[first..].as_mut_ptr(),
            shape: [rows, columns],
            strides: [width as isize, 1],
            marker: PhantomData,
        }
    }

    /// Matrix product: self ← factor · left · right, plus the old self if `add`. `[m, k] · [k, n] → [m, n]`.
    ///
    /// Runs on the calling thread. With `add` = false the old values aren't read.
    ///
    /// # Panics
    /// If the shapes don't match.
    pub fn gemm(&mut self, left: MatrixRef, right: MatrixRef, factor: f32, add: bool) {
        self.gemm_on(Parallelism::None, left, right, factor, add);
    }

    /// [`gemm`](Self::gemm) on all threads of the pool. `gemm` shares out whole elements of the output, so threads change no
    /// order of sums.
    ///
    /// # Panics
    /// If the shapes don't match.
    pub fn par_gemm(&mut self, left: MatrixRef, right: MatrixRef, factor: f32, add: bool) {
        self.gemm_on(ALL_THREADS, left, right, factor, add);
    }

    fn gemm_on(&mut self, parallelism: Parallelism, left: MatrixRef, right: MatrixRef, factor: f32, add: bool) {
        let ([m, k], n) = (left.shape, right.shape[1]);
        assert!(right.shape[0] == k && self.shape == [m, n], "shapes of a matrix product");
        // SAFETY: each view's shape and strides are within its memory; the output is borrowed mutably.
        #[allow(unsafe_code)]
        unsafe {
            gemm(
                m,
                n,
                k,
                self.ptr,
                self.strides[1],
                self.strides[0],
                add,
                left.ptr,
                left.strides[1],
                left.strides[0],
                right.ptr,
                right.strides[1],
                right.strides[0],
                1.0f32,
                factor,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

/// Output memory `[B, T, H, D]` that several threads write, one task a (batch, head).
///
/// The heads of one token are interleaved in memory, so the memory can't be split into disjoint slices for the tasks. This
/// type hands out strided views instead; [`rows`](Self::rows) is unsafe because it can't check that they are disjoint.
pub struct HeadsMut<'a> {
    ptr: *mut f32,
    shape: [usize; 4],
    marker: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is only used through `rows`, whose callers never share a head.
#[allow(unsafe_code)]
unsafe impl Sync for HeadsMut<'_> {}

impl<'a> HeadsMut<'a> {
    /// Borrows `values` as memory of shape `[B, T, H, D]`, row-major.
    ///
    /// # Panics
    /// If `values` hasn't B·T·H·D elements.
    pub fn new(values: &'a mut [f32], shape: [usize; 4]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "number of values and shape");
        Self { ptr: values.as_mut_ptr(), shape, marker: PhantomData }
    }

    /// Returns rows `first..first + count` of one head of one sequence, a matrix `[count, D]`.
    ///
    /// # Safety
    /// No other thread may hold rows of the same head of the same sequence.
    ///
    /// # Panics
    /// If the rows aren't within the memory.
    #[allow(unsafe_code)]
    pub unsafe fn rows(&self, batch: usize, head: usize, first: usize, count: usize) -> MatrixMut<'_> {
        let [b, t, h, d] = self.shape;
        assert!(batch < b && head < h && first + count <= t, "rows of a head out of range");
        // SAFETY: within the memory, as checked.
        let ptr = unsafe { self.ptr.add(((batch * t + first) * h + head) * d) };
        MatrixMut { ptr, shape: [count, d], strides: [(h * d) as isize, 1], marker: PhantomData }
    }
}

impl MatrixMut<'_> {
    /// Returns the first `columns` columns.
    ///
    /// # Panics
    /// If the matrix has fewer columns.
    pub fn narrow(self, columns: usize) -> Self {
        assert!(columns <= self.shape[1], "columns out of range");
        Self { shape: [self.shape[0], columns], ..self }
    }

    /// Writes one element.
    ///
    /// # Panics
    /// If it isn't within the matrix.
    pub fn set(&mut self, row: usize, column: usize, value: f32) {
        assert!(row < self.shape[0] && column < self.shape[1], "element out of range");
        // SAFETY: within the matrix, as checked; the matrix is borrowed mutably.
        #[allow(unsafe_code)]
        unsafe {
            *self.ptr.offset(row as isize * self.strides[0] + column as isize * self.strides[1]) = value;
        }
    }
}

impl MatrixRef<'_> {
    /// Returns one element.
    ///
    /// # Panics
    /// If it isn't within the matrix.
    pub fn get(&self, row: usize, column: usize) -> f32 {
        assert!(row < self.shape[0] && column < self.shape[1], "element out of range");
        // SAFETY: within the matrix, as checked.
        #[allow(unsafe_code)]
        unsafe {
            self.get_unchecked(row, column)
        }
    }
}

impl<'a> MatrixRef<'a> {
    /// Returns one row as a slice.
    ///
    /// # Panics
    /// If there is no such row, or the elements of a row aren't adjacent in memory.
    pub fn row(&self, row: usize) -> &'a [f32] {
        assert!(row < self.shape[0] && (self.strides[1] == 1 || self.shape[1] <= 1), "a row of adjacent elements");
        // SAFETY: the row is within the matrix, as checked, and its elements are adjacent.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.ptr.offset(row as isize * self.strides[0]), self.shape[1])
        }
    }
}

impl MatrixMut<'_> {
    /// Returns one row as a writable slice.
    ///
    /// # Panics
    /// As for [`MatrixRef::row`].
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.shape[0] && (self.strides[1] == 1 || self.shape[1] <= 1), "a row of adjacent elements");
        // SAFETY: the row is within the matrix, as checked; the matrix is borrowed mutably.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts_mut(self.ptr.offset(row as isize * self.strides[0]), self.shape[1])
        }
    }
}
