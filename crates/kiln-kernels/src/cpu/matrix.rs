//! Matrices as pointers with strides: products without copies, results written by many threads at once.

use burn::backend::flex::FlexTensor;
use gemm::{Parallelism, gemm};
use std::marker::PhantomData;

/// A matrix in somebody's memory.
#[derive(Clone, Copy)]
pub struct MatrixRef<'a> {
    ptr: *const f32,
    /// Rows and columns.
    pub shape: [usize; 2],
    strides: [isize; 2],
    marker: PhantomData<&'a f32>,
}

/// A matrix to write into.
pub struct MatrixMut<'a> {
    ptr: *mut f32,
    /// Rows and columns.
    pub shape: [usize; 2],
    strides: [isize; 2],
    marker: PhantomData<&'a mut f32>,
}

impl<'a> MatrixRef<'a> {
    /// Head `head` of row `batch` of a tensor `[B, H, T, D]`, `[T, D]`, whatever its strides.
    pub fn head(tensor: &'a FlexTensor, batch: usize, head: usize) -> Self {
        let (layout, storage) = (tensor.layout(), tensor.storage::<f32>());
        let (shape, strides) = (layout.shape(), layout.strides());
        assert!(batch < shape[0] && head < shape[1], "a head of the tensor");
        let offset = layout.start_offset() as isize + batch as isize * strides[0] + head as isize * strides[1];
        // SAFETY: the layout's indices lie within its storage, so the first element of a head does too.
        #[allow(unsafe_code)]
        let at = unsafe { storage.as_ptr().offset(offset) };
        Self { ptr: at, shape: [shape[2], shape[3]], strides: [strides[2], strides[3]], marker: PhantomData }
    }

    /// A row-major matrix.
    pub fn row_major(values: &'a [f32], size: [usize; 2]) -> Self {
        Self::columns(values, size, 0, size[1])
    }

    /// Some columns of a row-major matrix of `width` columns.
    pub fn columns(values: &'a [f32], [rows, columns]: [usize; 2], first: usize, width: usize) -> Self {
        assert!(first + columns <= width && values.len() >= rows * width, "columns of the matrix");
        Self {
            ptr: values[first..].as_ptr(),
            shape: [rows, columns],
            strides: [width as isize, 1],
            marker: PhantomData,
        }
    }

    /// Its first columns.
    pub fn narrow(self, columns: usize) -> Self {
        assert!(columns <= self.shape[1], "columns of the matrix");
        Self { shape: [self.shape[0], columns], ..self }
    }

    /// Some of its rows.
    pub fn rows(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.shape[0], "rows of the matrix");
        // SAFETY: within the matrix, as checked.
        #[allow(unsafe_code)]
        let at = unsafe { self.ptr.offset(first as isize * self.strides[0]) };
        Self { ptr: at, shape: [count, self.shape[1]], ..self }
    }

    /// Rows as columns.
    pub fn transposed(self) -> Self {
        Self { shape: [self.shape[1], self.shape[0]], strides: [self.strides[1], self.strides[0]], ..self }
    }

    /// Σ a·b over a row of this and of another.
    pub fn row_dot(&self, other: &Self, row: usize) -> f32 {
        assert!(self.shape == other.shape && row < self.shape[0], "rows of equal matrices");
        let get = |m: &Self, column: usize| {
            // SAFETY: row and column lie within both matrices.
            #[allow(unsafe_code)]
            unsafe {
                *m.ptr.offset(row as isize * m.strides[0] + column as isize * m.strides[1])
            }
        };
        crate::cpu::vector::sum(self.shape[1], |column| get(self, column) * get(other, column))
    }
}

impl<'a> MatrixMut<'a> {
    /// A row-major matrix.
    pub fn row_major(values: &'a mut [f32], size: [usize; 2]) -> Self {
        Self::columns(values, size, 0, size[1])
    }

    /// Some columns of a row-major matrix of `width` columns.
    pub fn columns(values: &'a mut [f32], [rows, columns]: [usize; 2], first: usize, width: usize) -> Self {
        assert!(first + columns <= width && values.len() >= rows * width, "columns of the matrix");
        Self {
            ptr: values[first..].as_mut_ptr(),
            shape: [rows, columns],
            strides: [width as isize, 1],
            marker: PhantomData,
        }
    }

    /// self ← factor · left · right (+ self, with `add`).
    pub fn gemm(&mut self, left: MatrixRef, right: MatrixRef, factor: f32, add: bool) {
        let ([m, k], n) = (left.shape, right.shape[1]);
        assert!(right.shape[0] == k && self.shape == [m, n], "matrices that fit");
        // SAFETY: each matrix covers its size with its strides; what is written is borrowed by nobody else.
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
                Parallelism::None,
            );
        }
    }
}

/// Memory `[B, T, H, D]` that threads write heads of: each (batch, head) belongs to one thread.
pub struct HeadsMut<'a> {
    ptr: *mut f32,
    shape: [usize; 4],
    marker: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is only used through `head`, whose callers keep heads apart.
#[allow(unsafe_code)]
unsafe impl Sync for HeadsMut<'_> {}

impl<'a> HeadsMut<'a> {
    /// `shape` is `[B, T, H, D]`.
    pub fn new(values: &'a mut [f32], shape: [usize; 4]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "as many numbers as the shape says");
        Self { ptr: values.as_mut_ptr(), shape, marker: PhantomData }
    }

    /// Rows of one head.
    ///
    /// # Safety
    /// No other thread may hold rows of the same head of the same batch row.
    #[allow(unsafe_code)]
    pub unsafe fn rows(&self, batch: usize, head: usize, first: usize, count: usize) -> MatrixMut<'_> {
        let [b, t, h, d] = self.shape;
        assert!(batch < b && head < h && first + count <= t, "rows of a head");
        // SAFETY: within the memory, as checked.
        let at = unsafe { self.ptr.add(((batch * t + first) * h + head) * d) };
        MatrixMut { ptr: at, shape: [count, d], strides: [(h * d) as isize, 1], marker: PhantomData }
    }
}

impl MatrixMut<'_> {
    /// Its first columns.
    pub fn narrow(self, columns: usize) -> Self {
        assert!(columns <= self.shape[1], "columns of the matrix");
        Self { shape: [self.shape[0], columns], ..self }
    }

    /// Writes one number.
    pub fn set(&mut self, row: usize, column: usize, value: f32) {
        assert!(row < self.shape[0] && column < self.shape[1], "within the matrix");
        // SAFETY: within the matrix, as checked; nobody else borrows it.
        #[allow(unsafe_code)]
        unsafe {
            *self.ptr.offset(row as isize * self.strides[0] + column as isize * self.strides[1]) = value;
        }
    }
}

impl MatrixRef<'_> {
    /// One number.
    pub fn get(&self, row: usize, column: usize) -> f32 {
        assert!(row < self.shape[0] && column < self.shape[1], "within the matrix");
        // SAFETY: within the matrix, as checked.
        #[allow(unsafe_code)]
        unsafe {
            *self.ptr.offset(row as isize * self.strides[0] + column as isize * self.strides[1])
        }
    }
}
