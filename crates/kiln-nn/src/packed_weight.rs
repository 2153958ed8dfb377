//! Packed weights: matrices of a model in a block format of GGUF, dequantized only when their values are read.
//!
//! A packed matrix has a parameter of the same shape, which has no values of its own:
//!
//! * without autodiff (inference) the parameter is uninitialized, and computed from the packed rows when it is first read.
//!   From then on products use the parameter's value: reading a weight dequantizes it permanently;
//! * on an autodiff device (training) the parameter is a [`placeholder`]: frozen, without values. [`WeightView::val`]
//!   dequantizes a copy for the caller. A parameter that is given values is no longer packed.
//!
//! As long as there are no values, products use the packed rows, which take 2 to 8 times less memory. A matrix of 16-bit floats
//! can be a parameter itself: its products ([`half_linear`]) convert it in tiles.

use burn::{
    module::{Param, ParamId},
    tensor::{Device, Int, Tensor, TensorData, module::embedding},
};
use kiln_kernels::packed::{
    PackedMatrix, half_embedding, half_linear, is_half, is_placeholder, packed_linear, packed_rows, placeholder,
};

/// Packed matrix, and whether it is the parameter's transpose.
#[derive(Clone, Debug)]
pub struct PackedWeight {
    /// Packed rows.
    pub matrix: PackedMatrix,
    /// Whether the packed rows are the parameter's columns. A linear map's weight is `[in, out]`, and GGUF packs the weights of
    /// one output together, so linear maps are transposed and embedding tables are not.
    pub transposed: bool,
}

impl PackedWeight {
    /// Returns the shape of the parameter.
    pub fn shape(&self) -> [usize; 2] {
        let [rows, columns] = self.matrix.shape();
        if self.transposed { [columns, rows] } else { [rows, columns] }
    }

    /// Returns the values of the parameter, dequantized, in its shape.
    pub fn values(&self) -> TensorData {
        let rows = self.matrix.dequantize();
        if !self.transposed {
            return TensorData::new(rows, self.shape());
        }
        let [height, width] = self.shape();
        let transposed = (0..height * width).map(|i| rows[i % width * height + i / width]);
        TensorData::new(transposed.collect::<Vec<_>>(), [height, width])
    }

    /// Returns the values as a tensor in the parameter's shape, on `device`: an untracked one on an autodiff device.
    pub fn to_tensor(&self, device: &Device) -> Tensor<2> {
        let rows = TensorData::new(self.matrix.dequantize(), self.matrix.shape());
        let rows = Tensor::from_data(rows, device);
        if self.transposed { rows.transpose() } else { rows }
    }

    /// Returns a parameter without values: uninitialized and dequantized when it is first read, or, on an autodiff device, a
    /// frozen placeholder.
    pub(crate) fn to_param(&self, device: &Device) -> Param<Tensor<2>> {
        if device.is_autodiff() {
            return Param::initialized(ParamId::new(), placeholder(self.shape(), device));
        }
        let packed = self.clone();
        let init = move |device: &Device, _| packed.to_tensor(device);
        Param::uninitialized(ParamId::new(), init, device.clone(), false, self.shape().into())
    }
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
}
