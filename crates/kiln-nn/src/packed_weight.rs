//! Packed weights: matrices of a model in a block format of GGUF, dequantized only when their values are read.
//!
//! A packed matrix, or stack of the experts' matrices, has a parameter of the same shape, which has no values of its own:
//!
//! * without autodiff (inference) the parameter is uninitialized, and computed from the packed rows when it is first read.
//!   From then on products use the parameter's value: reading a weight dequantizes it permanently;
//! * on an autodiff device (training) the parameter is a [`placeholder`]: frozen, without values. [`WeightView::val`]
//!   dequantizes a copy for the caller. A parameter that is given values is no longer packed.
//!
//! As long as there are no values, products use the packed rows, which take 2 to 8 times less memory. A matrix of 16-bit floats
//! can be a parameter itself: its products ([`half_linear`]) convert it in tiles.

use crate::autograd_order::without_graph;
use burn::{
    module::{Param, ParamId},
    tensor::{DType, Device, Int, Tensor, TensorData, module::embedding},
};
use kiln_kernels::{
    cpu::{is_same_storage, rows::transposed},
    packed::{
        PackedMatrix, PackedStack, half_embedding, half_linear, is_half, is_placeholder, packed_linear, packed_rows,
        placeholder,
    },
};

/// Packed matrix or stack of matrices, and whether they are transposes of the parameter's.
#[derive(Clone, Debug)]
pub struct PackedWeight {
    /// Packed rows; those of the matrices of a stack, one after the other.
    pub matrix: PackedMatrix,
    /// Number of matrices of a stacked parameter `[E, in, out]`; `None`: the parameter is one matrix.
    pub stack: Option<usize>,
    /// Whether the packed rows are the parameter's columns. A linear map's weight is `[in, out]`, and GGUF packs the weights of
    /// one output together, so linear maps are transposed and embedding tables are not.
    pub transposed: bool,
}

impl PackedWeight {
    /// Returns a packed matrix; `transposed`: its rows are the parameter's columns.
    pub fn new(matrix: PackedMatrix, transposed: bool) -> Self {
        Self { matrix, transposed, stack: None }
    }

    /// Returns the shape of the parameter, or of each matrix of a stacked one.
    pub fn shape(&self) -> [usize; 2] {
        let [rows, columns] = self.packed_shape();
        if self.transposed { [columns, rows] } else { [rows, columns] }
    }

    /// Returns the shape of the parameter: `[in, out]`, or `[E, in, out]` of a stacked one.
    pub fn parameter_shape(&self) -> Vec<usize> {
        self.stack.into_iter().chain(self.shape()).collect()
    }

    /// Rows and columns of the packed matrix, or of each of a stack.
    fn packed_shape(&self) -> [usize; 2] {
        let [rows, columns] = self.matrix.shape();
        [rows / self.stack.unwrap_or(1).max(1), columns]
    }

    /// Returns the packed matrices of a stacked parameter; `None` for a matrix.
    pub fn to_stack(&self) -> Option<PackedStack> {
        PackedStack::new(self.matrix.clone(), self.stack?, self.transposed)
    }

    /// Returns the values of the parameter, dequantized, in its shape.
    pub fn values(&self) -> TensorData {
        self.in_shape(TensorData::new(self.matrix.dequantize(), self.matrix.shape()))
    }

    /// Returns the values as they are held: 16-bit floats as such, quantized ones dequantized to 32-bit floats.
    pub fn held_values(&self) -> TensorData {
        let dtype = match self.matrix.ggml_type().name {
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            _ => return self.values(),
        };
        self.in_shape(TensorData::from_bytes_vec(self.matrix.bytes().to_vec(), self.matrix.shape(), dtype))
    }

    /// The values of the packed rows in the parameter's shape.
    fn in_shape(&self, rows: TensorData) -> TensorData {
        let dtype = rows.dtype();
        if !self.transposed {
            return TensorData::from_bytes(rows.into_bytes(), self.parameter_shape(), dtype);
        }
        let columns = transposed(rows.as_bytes(), dtype.size(), self.packed_shape());
        TensorData::from_bytes_vec(columns, self.parameter_shape(), dtype)
    }

    /// Returns the squared norms of the parameter's columns, dequantizing one packed row at a time.
    fn column_squares(&self) -> Vec<f32> {
        let [rows, columns] = self.matrix.shape();
        let (mut row, mut squares) = (vec![0.0; columns], vec![0.0; self.shape()[1]]);
        for index in 0..rows {
            self.matrix.ggml_type().dequantize(self.matrix.row(index), &mut row);
            if self.transposed {
                squares[index] = row.iter().map(|value| value * value).sum();
            } else {
                squares.iter_mut().zip(&row).for_each(|(square, value)| *square += value * value);
            }
        }
        squares
    }

    /// Returns the values as a tensor in the parameter's shape, on `device`: an untracked one on an autodiff device.
    pub fn to_tensor(&self, device: &Device) -> Tensor<2> {
        let rows = TensorData::new(self.matrix.dequantize(), self.matrix.shape());
        let rows = Tensor::from_data(rows, device);
        if self.transposed { rows.transpose() } else { rows }
    }

    /// [`to_tensor`](Self::to_tensor) of a stacked parameter, `[E, in, out]`.
    pub fn to_stack_tensor(&self, device: &Device) -> Tensor<3> {
        Tensor::from_data(self.values(), device)
    }

    /// Returns a parameter without values: uninitialized and dequantized when it is first read, or, on an autodiff device, a
    /// frozen placeholder.
    pub(crate) fn to_param(&self, device: &Device) -> Param<Tensor<2>> {
        let packed = self.clone();
        param_without_values(self.shape(), device, move |device| packed.to_tensor(device))
    }

    /// [`to_param`](Self::to_param) of a stacked parameter, `[E, in, out]`.
    pub(crate) fn to_stack_param(&self, device: &Device) -> Param<Tensor<3>> {
        let (packed, [from, to]) = (self.clone(), self.shape());
        let shape = [self.stack.unwrap_or(1), from, to];
        param_without_values(shape, device, move |device| packed.to_stack_tensor(device))
    }
}

/// A parameter that is computed when it is first read, or, on an autodiff device, a frozen placeholder.
fn param_without_values<const D: usize>(
    shape: [usize; D],
    device: &Device,
    values: impl Fn(&Device) -> Tensor<D> + Send + Sync + 'static,
) -> Param<Tensor<D>> {
    if device.is_autodiff() {
        return Param::initialized(ParamId::new(), placeholder(shape, device));
    }
    let init = move |device: &Device, _| values(device);
    Param::uninitialized(ParamId::new(), init, device.clone(), false, shape.into())
}

/// Whether a parameter has no values of its own: it is uninitialized, or a placeholder.
pub fn is_without_values<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    !param.is_initialized() || is_placeholder(param)
}

/// A weight matrix: packed, of 16-bit floats or of 32-bit floats. Its methods multiply and look up rows without dequantizing
/// the whole matrix.
#[derive(Clone, Copy, Debug)]
pub struct WeightView<'a> {
    weight: &'a Param<Tensor<2>>,
    packed: Option<&'a PackedWeight>,
}

impl<'a> WeightView<'a> {
    /// Returns a view of a parameter and its packed form. The packed form is used as long as the parameter has no values.
    pub fn new(weight: &'a Param<Tensor<2>>, packed: Option<&'a PackedWeight>) -> Self {
        Self { weight, packed: packed.filter(|_| is_without_values(weight)) }
    }

    /// Returns the packed matrix; `None` if there is none or it has already been dequantized.
    pub fn packed(&self) -> Option<&'a PackedMatrix> {
        self.packed.map(|packed| &packed.matrix)
    }

    /// Whether the weight is of 16-bit floats.
    pub fn is_half(&self) -> bool {
        self.packed.is_none() && is_half(self.weight.val().dtype())
    }

    /// Returns the weight in its own data type. A packed weight is dequantized: permanently without autodiff, as a copy with it.
    pub fn val(&self) -> Tensor<2> {
        match self.packed {
            Some(packed) if self.weight.is_initialized() => packed.to_tensor(&self.weight.lazy_device()),
            _ => self.weight.val(),
        }
    }

    /// Embedding lookup in a table `[V, M]`: rows `ids`, `[B, T] → [B, T, M]`.
    pub fn lookup(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        match self.packed() {
            Some(packed) => packed_rows(ids, packed),
            None if self.is_half() => half_embedding(self.val(), ids),
            None => embedding(self.val(), ids),
        }
    }

    /// Product with a table `[V, M]`: x Wᵀ, `[N, M] → [N, V]`. For a head tied to the embedding.
    pub fn matmul_transposed(&self, x: Tensor<2>) -> Tensor<2> {
        match self.packed() {
            Some(packed) => packed_linear(x, packed),
            None if self.is_half() => half_linear(x, self.val().transpose()),
            None => x.matmul(self.val().transpose()),
        }
    }

    /// Product with a map `[M, V]`: x W, `[N, M] → [N, V]`.
    pub fn matmul(&self, x: Tensor<2>) -> Tensor<2> {
        match self.packed() {
            Some(packed) => packed_linear(x, packed),
            None if self.is_half() => half_linear(x, self.val()),
            None => x.matmul(self.val()),
        }
    }

    /// Whether the weight is trained, so that it has other values in the next call.
    pub fn is_trained(&self) -> bool {
        self.packed.is_none() && self.weight.val().is_require_grad()
    }

    /// Returns the weight for computations outside of the autodiff graph.
    pub fn base_weight(&self) -> BaseWeight {
        match self.packed {
            Some(packed) => BaseWeight::Packed(packed.clone(), self.weight.lazy_device().without_autodiff()),
            None => BaseWeight::Floats(without_graph(self.weight.val())),
        }
    }
}

/// Weight of a frozen map `[in, out]`, outside of the autodiff graph: what an adapter may compute with it. A packed weight
/// stays packed.
#[derive(Clone, Debug)]
pub enum BaseWeight {
    /// Packed by its columns, and the device of the results.
    Packed(PackedWeight, Device),
    /// Floats of 16 or 32 bits.
    Floats(Tensor<2>),
}

/// Rows that [`BaseWeight::column_squares`] converts at once.
const ROWS_AT_ONCE: usize = 256;

impl BaseWeight {
    /// Product x W, `[N, in] → [N, out]`.
    pub fn product(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Packed(packed, _) if packed.transposed => packed_linear(x, &packed.matrix),
            Self::Packed(packed, device) => x.matmul(packed.to_tensor(device)),
            Self::Floats(weight) if is_half(weight.dtype()) => half_linear(x, weight.clone()),
            Self::Floats(weight) => x.matmul(weight.clone()),
        }
    }

    /// Whether both are clones of one weight: the values are the same then. False where that is not known.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Packed(a, device), Self::Packed(b, other)) => {
                a.matrix.is_same(&b.matrix) && a.transposed == b.transposed && device == other
            }
            (Self::Floats(a), Self::Floats(b)) => is_same_storage(a, b),
            _ => false,
        }
    }

    /// Squared Euclidean norm of each column, Σᵢ Wᵢⱼ², `[out]`.
    pub fn column_squares(&self) -> Tensor<1> {
        match self {
            Self::Packed(packed, device) => {
                let squares = packed.column_squares();
                Tensor::from_data(TensorData::new(squares, [packed.shape()[1]]), device)
            }
            Self::Floats(weight) => {
                let [rows, columns] = weight.dims();
                let chunks = (0..rows).step_by(ROWS_AT_ONCE).map(|start| {
                    let chunk = weight.clone().narrow(0, start, ROWS_AT_ONCE.min(rows - start));
                    let chunk = if is_half(chunk.dtype()) { chunk.cast(DType::F32) } else { chunk };
                    chunk.square().sum_dim(0)
                });
                let sum = chunks.reduce(|sum, chunk| sum + chunk);
                sum.map_or_else(|| Tensor::zeros([columns], &weight.device()), |sum| sum.reshape([columns]))
            }
        }
    }

    /// The rows `ids` of a table `[V, M]`, `[N, M]`.
    pub fn rows(&self, ids: &[usize]) -> Tensor<2> {
        match self {
            Self::Packed(packed, device) if !packed.transposed => {
                let rows = packed.matrix.select_rows(ids.iter().copied());
                Tensor::from_data(TensorData::new(rows.dequantize(), rows.shape()), device)
            }
            Self::Packed(packed, device) => Self::Floats(packed.to_tensor(device)).rows(ids),
            Self::Floats(weight) => {
                let rows = ids.iter().map(|id| weight.clone().narrow(0, *id, 1)).collect();
                let rows = Tensor::cat(rows, 0);
                if is_half(rows.dtype()) { rows.cast(DType::F32) } else { rows }
            }
        }
    }
}
