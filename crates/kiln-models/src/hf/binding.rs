//! Bindings: which tensor of a file holds a parameter, and in which layout.
//!
//! PyTorch's linear layers keep their matrix as `[out, in]`, Kiln as `[in, out]`; some families fuse several matrices into
//! one tensor (`qkv_proj`). A [`TensorLayout`] describes both: first a slice along one axis of the file's tensor, then a
//! transposition. It is applied when weights are loaded and reversed when they are exported (`hf::layout`).

use super::row_permutation::RowPermutation;
use burn::tensor::TensorData;
use kiln_kernels::cpu::rows::copied_bytes;
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
    /// Axis of heads that the file's matrix has in front. `None`: the file's matrix has two axes.
    pub heads: Option<HeadAxis>,
    /// Function of the file's values that gives the parameter's. `None`: the values as they are.
    pub map: Option<ValueMap>,
    /// Another order of the rows in the file, after the slice. `None`: the same order.
    pub row_order: Option<RowPermutation>,
}

/// A matrix of all heads as one matrix for each head, before a transposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadAxis {
    /// So many heads share the rows: `[heads, rows / heads, columns]`.
    Rows(usize),
    /// So many heads share the columns: `[heads, rows, columns / heads]`.
    Columns(usize),
}

/// A function of values, with its inverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueMap {
    /// x ↦ x + 1: a norm weight that the file stores as w − 1.
    AddOne,
    /// x ↦ x − 1: a norm weight that the file stores as w + 1.
    SubtractOne,
    /// x ↦ ln(−x): the logarithms of a state-space model's decay rates r, of which the file has −r.
    LogNeg,
}

impl ValueMap {
    /// The parameter's value of a value of the file.
    pub(super) fn apply(self, value: f32) -> f32 {
        match self {
            Self::AddOne => value + 1.0,
            Self::SubtractOne => value - 1.0,
            Self::LogNeg => (-value).ln(),
        }
    }

    /// The file's value of a value of the parameter.
    pub(super) fn invert(self, value: f32) -> f32 {
        match self {
            Self::AddOne => value - 1.0,
            Self::SubtractOne => value + 1.0,
            Self::LogNeg => -value.exp(),
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
    pub(super) fn select_element(&self, parameter: &TensorData) -> TensorData {
        let Some((index, count)) = self.element else { return parameter.clone() };
        let shape = parameter.shape()[1..].to_vec();
        let (bytes, dtype) = (parameter.as_bytes(), parameter.dtype());
        let size = bytes.len() / count.max(1);
        TensorData::from_bytes_vec(copied_bytes(&bytes[index * size..(index + 1) * size]), shape, dtype)
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
        if let (Some(heads), [rows, columns]) = (self.heads, &shape[..]) {
            shape = match heads {
                HeadAxis::Rows(heads) => vec![heads, rows / heads.max(1), *columns],
                HeadAxis::Columns(heads) => vec![heads, *rows, columns / heads.max(1)],
            };
        }
        shape
    }
}

impl Slice {
    /// The range `start..start + width` of an axis of length `total`.
    pub fn contiguous(axis: usize, start: usize, width: usize, total: usize) -> Self {
        Self { axis, groups: 1, start, width, group_size: total }
    }
}

/// Exchanges the last two sizes of a shape.
pub(super) fn transpose_shape(shape: &mut [usize]) {
    if let [.., rows, columns] = shape {
        std::mem::swap(rows, columns);
    }
}
