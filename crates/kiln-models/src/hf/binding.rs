//! Bindings: which tensor of a file holds a parameter, and in which layout.
//!
//! PyTorch's linear layers keep their matrix as `[out, in]`, Kiln as `[in, out]`; some families fuse several matrices into
//! one tensor (`qkv_proj`). A [`TensorLayout`] describes both: first a slice along one axis of the file's tensor, then a
//! transposition. It is applied when weights are loaded and reversed when they are exported.

use super::row_permutation::RowPermutation;
use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;
use kiln_nn::head::HeadConfig;

/// A parameter and the tensor of the file that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Name of the parameter: `blocks.7.attention.q.weight`.
    pub parameter: String,
    /// Name of the tensor: `model.layers.7.self_attn.q_proj.weight`.
    pub tensor: String,
    /// Position of the parameter in the tensor.
    pub layout: TensorLayout,
    /// Index along the first axis of a stacked parameter, and its length, if the tensor holds one element of it only: one of
    /// the experts. The tensor lacks that axis.
    pub element: Option<(usize, usize)>,
    /// Number of rows of the matrix as which the file has a parameter that is a vector: heads. All else is about that matrix.
    pub rows: Option<usize>,
}

/// Layout of a parameter in a tensor of the file. Default: the tensor is the parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TensorLayout {
    /// Whether a matrix is `[out, in]` in the file; Kiln's are `[in, out]`.
    pub transposed: bool,
    /// The part of the tensor that is the parameter; `None`: the whole tensor.
    pub slice: Option<Slice>,
    /// Axis of length 1 that the file's tensor has and the parameter lacks. The axis of a slice is before it.
    pub unit_axis: Option<usize>,
    /// Function of the file's values that gives the parameter's. `None`: the values as they are.
    pub map: Option<ValueMap>,
    /// Another order of the rows in the file, after the slice. `None`: the same order.
    pub row_order: Option<RowPermutation>,
}

/// A function of values, with its inverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueMap {
    /// x ↦ x + 1: a norm weight that the file stores as w − 1.
    AddOne,
    /// x ↦ x − 1: a norm weight that the file stores as w + 1.
    SubtractOne,
    /// x ↦ −eˣ: the decay rates of a state-space model, stored as logarithms.
    NegExp,
}

impl ValueMap {
    /// The parameter's value of a value of the file.
    fn apply(self, value: f32) -> f32 {
        match self {
            Self::AddOne => value + 1.0,
            Self::SubtractOne => value - 1.0,
            Self::NegExp => -value.exp(),
        }
    }

    /// The file's value of a value of the parameter.
    fn invert(self, value: f32) -> f32 {
        match self {
            Self::AddOne => value - 1.0,
            Self::SubtractOne => value + 1.0,
            Self::NegExp => (-value).ln(),
        }
    }
}

/// Slice of a tensor along one axis.
///
/// The axis consists of `groups` groups of `group_size`; the slice takes `width` from `start` in each group. One group is
/// a contiguous range (q, k, v in sequence); one group for each head takes the slices of all heads (q, k, v alternating).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Axis of the file's tensor, before the transposition.
    pub axis: usize,
    /// Number of groups.
    pub groups: usize,
    /// First index in each group.
    pub start: usize,
    /// Number of indices in each group.
    pub width: usize,
    /// Length of a group.
    pub group_size: usize,
}

impl Binding {
    /// A tensor that is the parameter.
    pub fn identity(parameter: impl Into<String>, tensor: impl Into<String>) -> Self {
        Self {
            parameter: parameter.into(),
            tensor: tensor.into(),
            layout: TensorLayout::default(),
            element: None,
            rows: None,
        }
    }

    /// A matrix that is `[out, in]` in the file.
    pub fn transposed(parameter: impl Into<String>, tensor: impl Into<String>) -> Self {
        Self {
            layout: TensorLayout { transposed: true, ..TensorLayout::default() },
            ..Self::identity(parameter, tensor)
        }
    }

    /// Weight (transposed, as in PyTorch) and, with `bias`, bias of a linear layer. The names lack `.weight` and `.bias`.
    pub fn linear(parameter: &str, tensor: &str, bias: bool) -> Vec<Self> {
        let weight = Self::transposed(format!("{parameter}.weight"), format!("{tensor}.weight"));
        let bias = bias.then(|| Self::identity(format!("{parameter}.bias"), format!("{tensor}.bias")));
        [weight].into_iter().chain(bias).collect()
    }

    /// Weight and, with `bias`, bias of a norm, both as they are. The names lack `.weight` and `.bias`.
    pub fn norm(parameter: &str, tensor: &str, bias: bool) -> Vec<Self> {
        let ends = ["weight", "bias"].into_iter().take(1 + usize::from(bias));
        ends.map(|end| Self::identity(format!("{parameter}.{end}"), format!("{tensor}.{end}"))).collect()
    }

    /// Matrix of a language-model head. A tied head has none: the tensor is another name of the embedding.
    pub fn lm_head(head: &HeadConfig, tensor: &str) -> Self {
        match head {
            HeadConfig::Language(head) if head.tied => Self::identity("embedding", tensor),
            _ => Self::transposed("head.weight", tensor),
        }
    }

    /// The binding of one expert of a stacked parameter. The name of its tensor has the expert's number for `{e}`.
    pub(super) fn for_expert(self, expert: usize, count: usize) -> Self {
        let tensor = self.tensor.replace("{e}", &expert.to_string());
        Self { tensor, element: Some((expert, count)), ..self }
    }

    /// The element of a stacked parameter that the tensor holds, or the whole parameter.
    pub(super) fn select_element(&self, parameter: TensorData) -> TensorData {
        let Some((index, count)) = self.element else { return parameter };
        let shape = parameter.shape()[1..].to_vec();
        let values = to_f32_values(parameter);
        let size = values.len() / count.max(1);
        TensorData::new(values[index * size..(index + 1) * size].to_vec(), shape)
    }

    /// Shape of the file's tensor, for a parameter of this shape.
    pub fn file_shape(&self, parameter: &[usize]) -> Vec<usize> {
        let parameter = self.viewed_shape(parameter);
        self.layout.file_shape(&parameter[usize::from(self.element.is_some()).min(parameter.len())..])
    }

    /// The binding with the parameter as a slice of the tensor.
    pub fn with_slice(mut self, slice: Slice) -> Self {
        self.layout.slice = Some(slice);
        self
    }
}

impl TensorLayout {
    /// Shape of the file's tensor, for a parameter of this shape.
    pub fn file_shape(&self, parameter: &[usize]) -> Vec<usize> {
        let mut shape = parameter.to_vec();
        if self.transposed {
            transpose_shape(&mut shape);
        }
        if let Some(slice) = self.slice
            && let Some(length) = shape.get_mut(slice.axis)
        {
            *length = slice.groups * slice.group_size;
        }
        if let Some(axis) = self.unit_axis {
            shape.insert(axis.min(shape.len()), 1);
        }
        shape
    }

    /// The rows of a packed tensor that are the parameter's, still packed; `None` for a slice across rows.
    pub(super) fn slice_rows(&self, tensor: PackedMatrix) -> Option<PackedMatrix> {
        let sliced = match self.slice {
            _ if self.map.is_some() => return None,
            None => tensor,
            Some(Slice { axis: 0, groups, start, width, group_size }) => {
                let starts = (0..groups).map(|group| group * group_size + start);
                tensor.select_rows(starts.flat_map(|start| start..start + width))
            }
            Some(_) => return None,
        };
        Some(if let Some(order) = self.row_order { order.packed_to_parameter(&sliced) } else { sliced })
    }

    /// The parameter's values, from the file's tensor (of the shape [`file_shape`](Self::file_shape)).
    ///
    /// # Panics
    /// If the tensor has another shape.
    pub fn extract(&self, tensor: TensorData) -> TensorData {
        if *self == Self::default() {
            return tensor;
        }
        let mut shape = tensor.shape().to_vec();
        let mut values = to_f32_values(tensor);
        if let Some(axis) = self.unit_axis {
            shape.remove(axis);
        }
        if let Some(slice) = self.slice {
            let runs = slice.runs(&shape);
            values = runs.flat_map(|run| values[run].iter().copied()).collect();
            shape[slice.axis] = slice.groups * slice.width;
        }
        if let Some(map) = self.map {
            values.iter_mut().for_each(|value| *value = map.apply(*value));
        }
        if let Some(order) = self.row_order {
            values = to_f32_values(order.to_parameter(TensorData::new(values, shape.clone())));
        }
        transpose_if(self.transposed, values, shape)
    }

    /// The reverse of [`extract`](Self::extract): the file's tensor with the parameter's values in their place.
    ///
    /// `tensor` holds the parameters inserted before; without it the rest of the tensor is 0.
    pub fn insert(&self, parameter: TensorData, tensor: Option<TensorData>) -> TensorData {
        let shape = self.file_shape(parameter.shape());
        let parameter_shape = parameter.shape().to_vec();
        let mut values = to_f32_values(parameter);
        if let Some(map) = self.map {
            values.iter_mut().for_each(|value| *value = map.invert(*value));
        }
        let part = transpose_if(self.transposed, values, parameter_shape);
        let part = if let Some(order) = self.row_order { order.to_file(part) } else { part };
        let Some(slice) = self.slice else { return TensorData::new(to_f32_values(part), shape) };
        let mut values = tensor.map_or_else(|| vec![0.0; shape.iter().product()], to_f32_values);
        let mut part = &to_f32_values(part)[..];
        for run in slice.runs(&shape) {
            let (first, rest) = part.split_at(run.len());
            values[run].copy_from_slice(first);
            part = rest;
        }
        TensorData::new(values, shape)
    }
}

impl Slice {
    /// The range `start..start + width` of an axis of length `total`.
    pub fn contiguous(axis: usize, start: usize, width: usize, total: usize) -> Self {
        Self { axis, groups: 1, start, width, group_size: total }
    }

    /// Ranges of consecutive elements that the slice takes from a tensor of this shape, in row-major order.
    fn runs(self, shape: &[usize]) -> impl Iterator<Item = std::ops::Range<usize>> {
        let outer: usize = shape[..self.axis].iter().product();
        let inner: usize = shape[self.axis + 1..].iter().product();
        (0..outer * self.groups).map(move |group| {
            let start = (group * self.group_size + self.start) * inner;
            start..start + self.width * inner
        })
    }
}

fn to_f32_values(data: TensorData) -> Vec<f32> {
    let data = data.convert::<f32>();
    data.try_into_vec().unwrap_or_default()
}

/// Side of the square tiles that are transposed one after the other: 32 × 32 f32 of source and target (8 KiB) stay in the
/// first-level cache.
const TRANSPOSE_TILE: usize = 32;

/// Exchanges the last two sizes of a shape.
fn transpose_shape(shape: &mut [usize]) {
    if let [.., rows, columns] = shape {
        std::mem::swap(rows, columns);
    }
}

/// The values as a tensor. If `transposed` is set, its matrices (along the last two axes) are transposed.
fn transpose_if(transposed: bool, values: Vec<f32>, mut shape: Vec<usize>) -> TensorData {
    let (&[.., rows, columns], true) = (&shape[..], transposed) else { return TensorData::new(values, shape) };
    let mut out = vec![0.0; values.len()];
    let size = (rows * columns).max(1);
    for (values, out) in values.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
        transpose_matrix(values, [rows, columns], out);
    }
    transpose_shape(&mut shape);
    TensorData::new(out, shape)
}

/// Writes a row-major matrix to `out`, transposed.
fn transpose_matrix(values: &[f32], [rows, columns]: [usize; 2], out: &mut [f32]) {
    for top in (0..rows).step_by(TRANSPOSE_TILE) {
        for left in (0..columns).step_by(TRANSPOSE_TILE) {
            for row in top..rows.min(top + TRANSPOSE_TILE) {
                for column in left..columns.min(left + TRANSPOSE_TILE) {
                    out[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(shape: [usize; 2]) -> TensorData {
        TensorData::new((0..shape[0] * shape[1]).map(|i| i as f32).collect::<Vec<_>>(), shape)
    }

    #[test]
    fn a_transposed_matrix_has_rows_and_columns_exchanged() {
        let layout = TensorLayout { transposed: true, ..TensorLayout::default() };
        let transposed = layout.extract(data([67, 35]));
        assert_eq!(transposed.shape().to_vec(), [35, 67]);
        assert_eq!(transposed.as_slice::<f32>().unwrap()[3 * 67 + 66], (66 * 35 + 3) as f32);
        assert_eq!(layout.insert(transposed, None), data([67, 35]));
    }

    #[test]
    fn slices_of_a_fused_matrix_are_put_together_again() {
        // Two heads, each with 1 row of q, 1 of k and 2 of v.
        let layouts = [(0, 1), (1, 1), (2, 2)].map(|(start, width)| TensorLayout {
            transposed: true,
            slice: Some(Slice { axis: 0, groups: 2, start, width, group_size: 4 }),
            ..TensorLayout::default()
        });
        let parameters = layouts.map(|layout| layout.extract(data([8, 3])));
        assert_eq!(parameters[1].shape().to_vec(), [3, 2]);
        assert_eq!(parameters[1].as_slice::<f32>().unwrap(), [3.0, 15.0, 4.0, 16.0, 5.0, 17.0]);
        let pairs = layouts.iter().zip(parameters);
        let tensor = pairs.fold(None, |tensor, (layout, parameter)| Some(layout.insert(parameter, tensor)));
        assert_eq!(tensor, Some(data([8, 3])));
    }

    #[test]
    fn an_axis_of_length_1_is_left_out_and_put_back() {
        // Channels 1 and 2 of 3, filters of width 2: `[channels, 1, width]` in the file, `[width, channels]` here.
        let slice = Some(Slice::contiguous(0, 1, 2, 3));
        let layout = TensorLayout { transposed: true, slice, unit_axis: Some(1), map: None };
        let tensor = TensorData::new((0..6).map(|i| i as f32).collect::<Vec<_>>(), [3, 1, 2]);
        let parameter = layout.extract(tensor.clone());
        assert_eq!(parameter.shape().to_vec(), [2, 2]);
        assert_eq!(parameter.as_slice::<f32>().unwrap(), [2.0, 4.0, 3.0, 5.0]);
        assert_eq!(layout.file_shape(&[2, 2]), [3, 1, 2]);
        assert_eq!(layout.insert(parameter, Some(tensor.clone())), tensor);
    }

    #[test]
    fn a_slice_of_columns_is_a_part_of_each_row() {
        let layout = TensorLayout { slice: Some(Slice::contiguous(1, 2, 2, 6)), ..TensorLayout::default() };
        assert_eq!(layout.file_shape(&[2, 2]), [2, 6]);
        assert_eq!(layout.extract(data([2, 6])).as_slice::<f32>().unwrap(), [2.0, 3.0, 8.0, 9.0]);
    }
}
