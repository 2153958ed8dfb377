//! Layouts applied: a parameter's elements taken from a tensor of the file, and put back.
//!
//! Elements are moved as they are, two or four bytes each, so that 16-bit floats stay 16-bit floats. A [`ValueMap`](super::ValueMap) computes in
//! f32 and gives f32: the one rounding to 16 bits is that of a file that is written.

#[cfg(test)]
mod tests;

use super::{
    binding::{HeadAxis, Slice, TensorLayout, transpose_shape},
    row_permutation::RowPermutation,
};
use crate::tensors::StoredTensor;
use burn::tensor::{Bytes, DType, TensorData};
use kiln_kernels::{
    cpu::rows::{copied_bytes, copy_bytes, gather_rows, gather_transposed, scatter_rows, transposed, zeroed_elements},
    packed::PackedMatrix,
};
use std::ops::{DerefMut, Range};

/// Pieces of a tensor that make up a part of it, in row-major order: whole rows of the part, or, if a slice of the last axis
/// has several groups, a piece of a row for each group.
struct Pieces {
    /// First element of each piece.
    starts: Vec<usize>,
    /// Number of elements of each piece.
    width: usize,
    /// Shape of the part.
    shape: Vec<usize>,
}

impl Pieces {
    /// The rows of one matrix for each head, side by side.
    fn by_head([heads, rows, width]: [usize; 3]) -> Self {
        let starts = (0..rows).flat_map(|row| (0..heads).map(move |head| (head * rows + row) * width)).collect();
        Self { starts, width, shape: vec![rows, heads * width] }
    }

    /// The pieces with whole rows, of one element in a vector, in another order.
    fn with_row_order(self, order: RowPermutation) -> Self {
        let Self { starts, width, shape } = self;
        let (starts, width) = match &shape[..] {
            [_] => (starts.into_iter().flat_map(|start| start..start + width).collect(), 1),
            _ => (starts, width),
        };
        let rows = starts.len();
        Self { starts: (0..rows).map(|row| starts[order.file_row(rows, row)]).collect(), width, shape }
    }
}

/// Memory that the elements of a parameter are written to.
pub(super) trait ElementMemory: DerefMut<Target = [u8]> + PartialEq {
    /// Memory of `count` elements of `element_bytes` bytes each, all zero.
    fn zeroed(count: usize, element_bytes: usize) -> Self;

    /// The memory of a tensor.
    fn into_bytes(self) -> Bytes;
}

/// For packed matrices, which are bytes. A tensor copies them.
impl ElementMemory for Vec<u8> {
    fn zeroed(count: usize, element_bytes: usize) -> Self {
        vec![0; count * element_bytes]
    }

    fn into_bytes(self) -> Bytes {
        Bytes::from_bytes_vec(self)
    }
}

/// For tensors, which take it as it is.
impl ElementMemory for Bytes {
    fn zeroed(count: usize, element_bytes: usize) -> Self {
        zeroed_elements(count, element_bytes)
    }

    fn into_bytes(self) -> Bytes {
        self
    }
}

/// Elements of a parameter, row-major. Unlike a [`TensorData`], it gives its memory away without a look at every byte.
#[derive(PartialEq)]
pub(super) struct Elements<M> {
    /// Memory of all elements.
    pub bytes: M,
    /// Shape, slowest dimension first.
    pub shape: Vec<usize>,
    /// Type of the elements: f32, f16 or bf16.
    pub dtype: DType,
}

impl<M: ElementMemory> Elements<M> {
    /// The elements as data for a tensor.
    pub fn into_values(self) -> TensorData {
        TensorData::from_bytes(self.bytes.into_bytes(), self.shape, self.dtype)
    }
}

impl TensorLayout {
    /// The rows of a packed tensor of this shape that are the parameter's, still packed; `None` for a slice across rows.
    pub(super) fn slice_rows(&self, tensor: PackedMatrix, shape: &[usize]) -> Option<PackedMatrix> {
        let (_, outer) = shape.split_last()?;
        match self.slice {
            _ if self.map.is_some() || self.unit_axis.is_some() || self.heads.is_some() => None,
            None if self.row_order.is_none() => Some(tensor),
            Some(slice) if slice.axis >= outer.len() => None,
            _ => Some(tensor.select_rows(self.element_ranges(outer).into_iter().flatten())),
        }
    }

    /// The parameter's values, from the file's tensor (of the shape [`file_shape`](Self::file_shape)), in the tensor's type if
    /// that is f32, f16 or bf16, otherwise in f32. A [`ValueMap`](super::ValueMap) gives f32.
    ///
    /// # Panics
    /// If the tensor has another shape.
    pub fn extract(&self, tensor: TensorData) -> TensorData {
        if *self == Self::default() { tensor } else { self.extract_stored(StoredTensor::Owned(tensor)) }
    }

    /// [`extract`](Self::extract) of a tensor that may be borrowed: its elements are copied once, to their places.
    ///
    /// # Panics
    /// As [`extract`](Self::extract).
    pub fn extract_stored(&self, tensor: StoredTensor) -> TensorData {
        if *self == Self::default() {
            tensor.into_values()
        } else {
            self.extract_elements::<Bytes>(tensor).into_values()
        }
    }

    /// [`extract_stored`](Self::extract_stored) as plain memory.
    pub(super) fn extract_elements<M: ElementMemory>(&self, tensor: StoredTensor) -> Elements<M> {
        let tensor = movable(tensor);
        let (shape, dtype) = (self.part_shape(tensor.shape()), tensor.dtype());
        let mut bytes = M::zeroed(shape.iter().product(), dtype.size());
        self.extract_to(&tensor, &mut bytes);
        let elements = Elements { bytes, shape, dtype };
        let Some(map) = self.map else { return elements };
        let data = mapped(elements.into_values(), |value| map.apply(value));
        let mut bytes = M::zeroed(data.num_elements(), data.dtype().size());
        bytes.copy_from_slice(data.as_bytes());
        Elements { bytes, shape: data.shape().to_vec(), dtype: data.dtype() }
    }

    /// Shape of what [`extract`](Self::extract) takes from a tensor of this shape.
    ///
    /// # Panics
    /// If the slice's axis is not one of the shape's.
    pub fn part_shape(&self, tensor: &[usize]) -> Vec<usize> {
        let mut shape = self.matrix_shape(tensor);
        if let Some(slice) = self.slice {
            shape[slice.axis] = slice.groups * slice.width;
        }
        if self.transposed {
            transpose_shape(&mut shape);
        }
        shape
    }

    /// Writes the elements that [`extract`](Self::extract) takes to `out`, without the [`ValueMap`](super::ValueMap).
    ///
    /// # Panics
    /// If elements are not of f32, f16 or bf16, or `out` has another length.
    pub(super) fn extract_to(&self, tensor: &StoredTensor, out: &mut [u8]) {
        let Pieces { starts, width, shape } = self.pieces(tensor.shape());
        let (bytes, size) = (tensor.bytes(), tensor.dtype().size());
        match (self.transposed, &shape[..]) {
            (true, [.., height, row]) if *row == width => {
                gather_transposed(bytes, size, &starts, [*height, *row], out);
            }
            (true, [.., height, row]) => {
                let mut part = vec![0; out.len()];
                gather_rows(bytes, size, &starts, width, &mut part);
                copy_bytes(&transposed(&part, size, [*height, *row]), out);
            }
            _ if self.is_in_order() => copy_bytes(bytes, out),
            _ => gather_rows(bytes, size, &starts, width, out),
        }
    }

    /// The reverse of [`extract`](Self::extract): the file's tensor with the parameter's values in their place, in the
    /// parameter's type (f32 after a [`ValueMap`](super::ValueMap)).
    ///
    /// `tensor` holds the parameters inserted before; without it the rest of the tensor is 0. If the two are of different
    /// types, the result is f32.
    pub fn insert(&self, parameter: TensorData, tensor: Option<TensorData>) -> TensorData {
        let shape = self.file_shape(parameter.shape());
        let parameter = match self.map {
            Some(map) => mapped(parameter, |value| map.invert(value)),
            None => parameter,
        };
        let (mut parameter, mut tensor) = (movable(StoredTensor::Owned(parameter)).into_values(), tensor);
        if tensor.as_ref().is_some_and(|tensor| tensor.dtype() != parameter.dtype()) {
            parameter = parameter.convert::<f32>();
            tensor = tensor.map(TensorData::convert::<f32>);
        }
        let (dtype, size) = (parameter.dtype(), parameter.dtype().size());
        let part = match (self.transposed, &parameter.shape().to_vec()[..]) {
            (true, [.., height, width]) => transposed(parameter.as_bytes(), size, [*height, *width]),
            _ => copied_bytes(parameter.as_bytes()),
        };
        if self.is_in_order() {
            return TensorData::from_bytes_vec(part, shape, dtype);
        }
        let mut bytes = match tensor {
            Some(tensor) => copied_bytes(tensor.as_bytes()),
            None => vec![0; shape.iter().product::<usize>() * size],
        };
        let Pieces { starts, width, .. } = self.pieces(&shape);
        scatter_rows(&part, size, &starts, width, &mut bytes);
        TensorData::from_bytes_vec(bytes, shape, dtype)
    }

    /// The pieces of a tensor of this shape that the parameter consists of, in the parameter's order of rows.
    fn pieces(&self, shape: &[usize]) -> Pieces {
        let pieces = match (self.heads, shape) {
            (Some(HeadAxis::Columns(_)), [heads, rows, width]) => Pieces::by_head([*heads, *rows, *width]),
            _ => self.sliced_pieces(&self.matrix_shape(shape)),
        };
        match self.row_order {
            None => pieces,
            Some(order) => pieces.with_row_order(order),
        }
    }

    /// The pieces of a tensor of this shape that the slice takes.
    fn sliced_pieces(&self, shape: &[usize]) -> Pieces {
        let row = shape.last().copied().unwrap_or(1);
        let Some(slice) = self.slice else {
            let starts = (0..shape.iter().product()).step_by(row.max(1)).collect();
            return Pieces { starts, width: row, shape: shape.to_vec() };
        };
        let width = if slice.axis + 1 == shape.len() { slice.width } else { row };
        let starts = slice.runs(shape).flat_map(|run| run.step_by(width.max(1))).collect();
        let mut shape = shape.to_vec();
        shape[slice.axis] = slice.groups * slice.width;
        Pieces { starts, width, shape }
    }

    /// Whether the elements are in the parameter's order in the file, apart from a transposition.
    fn is_in_order(&self) -> bool {
        self.slice.is_none() && self.row_order.is_none() && !matches!(self.heads, Some(HeadAxis::Columns(_)))
    }

    /// The shape of a tensor without the axis of length 1, or of heads, that the parameter lacks.
    fn matrix_shape(&self, tensor: &[usize]) -> Vec<usize> {
        let mut shape = tensor.to_vec();
        if let Some(axis) = self.unit_axis.filter(|axis| *axis < shape.len()) {
            shape.remove(axis);
        }
        match (self.heads, &shape[..]) {
            (Some(HeadAxis::Rows(_)), [heads, rows, columns]) => vec![heads * rows, *columns],
            (Some(HeadAxis::Columns(_)), [heads, rows, columns]) => vec![*rows, heads * columns],
            _ => shape,
        }
    }

    /// Elements of a tensor of this shape that the parameter is read from, as ranges of row-major indices in the order of the
    /// parameter's rows.
    ///
    /// # Panics
    /// If the slice's axis is not one of the shape's.
    pub fn element_ranges(&self, shape: &[usize]) -> Vec<Range<usize>> {
        let Pieces { starts, width, .. } = self.pieces(shape);
        starts.into_iter().map(|start| start..start + width).collect()
    }
}

impl Slice {
    /// Ranges of consecutive elements that the slice takes from a tensor of this shape, in row-major order.
    fn runs(self, shape: &[usize]) -> impl Iterator<Item = Range<usize>> {
        let outer: usize = shape[..self.axis].iter().product();
        let inner: usize = shape[self.axis + 1..].iter().product();
        (0..outer * self.groups).map(move |group| {
            let start = (group * self.group_size + self.start) * inner;
            start..start + self.width * inner
        })
    }
}

/// The tensor in a type whose elements can be moved: f32, f16 or bf16.
fn movable(tensor: StoredTensor) -> StoredTensor {
    match tensor.dtype() {
        DType::F32 | DType::F16 | DType::BF16 => tensor,
        _ => StoredTensor::Owned(tensor.into_values().convert::<f32>()),
    }
}

/// Values as f32, each replaced by a function of it.
fn mapped(data: TensorData, f: impl Fn(f32) -> f32) -> TensorData {
    let shape = data.shape().clone();
    TensorData::new(data.iter::<f32>().map(f).collect::<Vec<_>>(), shape)
}
