//! Which tensor of a file is which parameter, and how it stands there.

use burn::tensor::TensorData;
use kiln_kernels::packed::PackedMatrix;
use kiln_nn::head::HeadConfig;

/// A parameter and a tensor of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The parameter: `blocks.7.attention.q.weight`.
    pub parameter: String,
    /// The tensor: `model.layers.7.self_attn.q_proj.weight`.
    pub tensor: String,
    /// How the one stands in the other.
    pub layout: TensorLayout,
}

/// How a parameter stands in a tensor of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TensorLayout {
    /// Whether a matrix is `[out, in]` in the file; Kiln's are `[in, out]`.
    pub transposed: bool,
    /// Which part of the tensor it is, if not all.
    pub slice: Option<Slice>,
}

/// A part of a tensor: along `axis`, as it is in the file, lie `groups` groups of `total` each, and of each group it is
/// `width` from `from` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The axis in the file.
    pub axis: usize,
    /// How many groups: 1 where parts lie one after the other, the number of heads where they alternate.
    pub groups: usize,
    /// Where it begins in a group.
    pub start: usize,
    /// How much of a group it is.
    pub width: usize,
    /// How long a group is.
    pub group_size: usize,
}

impl Binding {
    /// A tensor that is the parameter as it is.
    pub fn identity(kiln: impl Into<String>, file: impl Into<String>) -> Self {
        Self { parameter: kiln.into(), tensor: file.into(), layout: TensorLayout::default() }
    }

    /// A matrix that is `[out, in]` in the file.
    pub fn transposed(kiln: impl Into<String>, file: impl Into<String>) -> Self {
        Self { layout: TensorLayout { transposed: true, slice: None }, ..Self::identity(kiln, file) }
    }

    /// The weight and, where `bias`, the bias of a linear map, transposed as PyTorch keeps it; both names end in
    /// `.weight` or `.bias`.
    pub fn linear(kiln: &str, file: &str, bias: bool) -> Vec<Self> {
        let weight = Self::transposed(format!("{kiln}.weight"), format!("{file}.weight"));
        let bias = bias.then(|| Self::identity(format!("{kiln}.bias"), format!("{file}.bias")));
        [weight].into_iter().chain(bias).collect()
    }

    /// The weight and, where `bias`, the bias of a norm.
    pub fn norm(kiln: &str, file: &str, bias: bool) -> Vec<Self> {
        let ends = ["weight", "bias"].into_iter().take(1 + usize::from(bias));
        ends.map(|end| Self::identity(format!("{kiln}.{end}"), format!("{file}.{end}"))).collect()
    }

    /// The matrix of a language-model head; of a tied one another name of the embedding.
    pub fn lm_head(head: &HeadConfig, file: &str) -> Self {
        match head {
            HeadConfig::Language(head) if head.tied => Self::identity("embedding", file),
            _ => Self::transposed("head.weight", file),
        }
    }

    /// The same as a part of the tensor.
    pub fn with_slice(mut self, cut: Slice) -> Self {
        self.layout.slice = Some(cut);
        self
    }
}

impl TensorLayout {
    /// The shape of the file's tensor, for a parameter of this shape.
    pub fn file_shape(&self, parameter: &[usize]) -> Vec<usize> {
        let mut shape = parameter.to_vec();
        if self.transposed {
            shape.reverse();
        }
        if let Some(length) = self.slice.and_then(|cut| Some((shape.get_mut(cut.axis)?, cut))) {
            *length.0 = length.1.groups * length.1.group_size;
        }
        shape
    }

    /// The rows of a packed tensor that are the parameter's; none where it is cut across rows.
    pub(super) fn slice_rows(&self, tensor: PackedMatrix) -> Option<PackedMatrix> {
        match self.slice {
            None => Some(tensor),
            Some(Slice { axis: 0, groups, start: from, width, group_size: total }) => Some(
                tensor.select_rows((0..groups).flat_map(|group| group * total + from..group * total + from + width)),
            ),
            Some(_) => None,
        }
    }

    /// The parameter's numbers, from the file's tensor (of the shape that [`in_file`](Self::in_file) says).
    pub(super) fn extract(&self, tensor: TensorData) -> TensorData {
        if *self == Self::default() {
            return tensor;
        }
        let mut shape = tensor.shape().to_vec();
        let mut values = to_f32_values(tensor);
        if let Some(cut) = self.slice {
            let (rows, run) = cut.group_runs(&shape);
            let pick = |row: usize| &values[(row * cut.group_size + cut.start) * run..][..cut.width * run];
            values = (0..rows).flat_map(|row| pick(row).iter().copied()).collect();
            shape[cut.axis] = cut.groups * cut.width;
        }
        transpose_if(values, shape, self.transposed)
    }

    /// The reverse: puts the parameter's numbers where they belong in the file's tensor, which is made if need be; what
    /// no parameter covers is 0.
    pub(super) fn insert(&self, parameter: TensorData, tensor: Option<TensorData>) -> TensorData {
        let whole = self.file_shape(parameter.shape());
        let shape = parameter.shape().to_vec();
        let part = transpose_if(to_f32_values(parameter), shape, self.transposed);
        let Some(cut) = self.slice else { return part };
        let mut values = tensor.map_or_else(|| vec![0.0; whole.iter().product()], to_f32_values);
        let (part, (rows, run)) = (to_f32_values(part), cut.group_runs(&whole));
        for (row, from) in (0..rows).zip(part.chunks_exact((cut.width * run).max(1))) {
            values[(row * cut.group_size + cut.start) * run..][..cut.width * run].copy_from_slice(from);
        }
        TensorData::new(values, whole)
    }
}

impl Slice {
    /// A part of a row of parts that lie one after the other.
    pub fn contiguous(axis: usize, from: usize, width: usize, total: usize) -> Self {
        Self { axis, groups: 1, start: from, width, group_size: total }
    }

    /// How many groups there are in the whole tensor, and how many numbers stand at each place along the axis.
    fn group_runs(&self, shape: &[usize]) -> (usize, usize) {
        let before: usize = shape[..self.axis].iter().product();
        (before * self.groups, shape[self.axis + 1..].iter().product())
    }
}

fn to_f32_values(data: TensorData) -> Vec<f32> {
    let data = data.convert::<f32>();
    data.try_into_vec().unwrap_or_default()
}

/// Rows and columns of this many numbers are turned at once, so that both sides stay in the cache.
const TRANSPOSE_TILE: usize = 32;

/// The matrix with its sides changed, if it is to be; a vector stays.
fn transpose_if(values: Vec<f32>, shape: Vec<usize>, turn: bool) -> TensorData {
    let ([rows, columns], true) = (&shape[..], turn) else { return TensorData::new(values, shape) };
    let (rows, columns) = (*rows, *columns);
    let mut out = vec![0.0; values.len()];
    for (top, left) in
        (0..rows).step_by(TRANSPOSE_TILE).flat_map(|r| (0..columns).step_by(TRANSPOSE_TILE).map(move |c| (r, c)))
    {
        for row in top..rows.min(top + TRANSPOSE_TILE) {
            for column in left..columns.min(left + TRANSPOSE_TILE) {
                out[column * rows + row] = values[row * columns + column];
            }
        }
    }
    TensorData::new(out, [columns, rows])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(shape: [usize; 2]) -> TensorData {
        TensorData::new((0..shape[0] * shape[1]).map(|i| i as f32).collect::<Vec<_>>(), shape)
    }

    #[test]
    fn a_turned_matrix_has_its_sides_changed() {
        let form = TensorLayout { transposed: true, slice: None };
        let turned = form.extract(data([67, 35]));
        assert_eq!(turned.shape().to_vec(), [35, 67]);
        assert_eq!(turned.as_slice::<f32>().unwrap()[3 * 67 + 66], (66 * 35 + 3) as f32);
        assert_eq!(form.insert(turned, None), data([67, 35]));
    }

    #[test]
    fn parts_of_a_fused_matrix_are_all_of_it() {
        // Two heads, each with 1 row of q, 1 of k and 2 of v.
        let cut = |from, width| TensorLayout {
            transposed: true,
            slice: Some(Slice { axis: 0, groups: 2, start: from, width, group_size: 4 }),
        };
        let parts = [cut(0, 1), cut(1, 1), cut(2, 2)];
        let taken = parts.map(|form| form.extract(data([8, 3])));
        assert_eq!(taken[1].shape().to_vec(), [3, 2]);
        assert_eq!(taken[1].as_slice::<f32>().unwrap(), [3.0, 15.0, 4.0, 16.0, 5.0, 17.0]);
        let back = parts.iter().zip(taken).fold(None, |whole, (form, part)| Some(form.insert(part, whole)));
        assert_eq!(back, Some(data([8, 3])));
    }

    #[test]
    fn a_cut_of_columns_is_a_part_of_each_row() {
        let cut = TensorLayout { transposed: false, slice: Some(Slice::contiguous(1, 2, 2, 6)) };
        assert_eq!(cut.file_shape(&[2, 2]), [2, 6]);
        assert_eq!(cut.extract(data([2, 6])).as_slice::<f32>().unwrap(), [2.0, 3.0, 8.0, 9.0]);
    }
}
