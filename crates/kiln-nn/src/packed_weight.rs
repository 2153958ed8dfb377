//! Packed weights: matrices of a model in a block format of GGUF, dequantized only when their values are read.
//!
//! A packed matrix has a parameter of the same shape. The parameter is uninitialized, and computed from the packed rows when
//! it is first read. Until then products use the packed rows, which take 2 to 8 times less memory. From then on
//! products use the parameter's value: reading or training a weight dequantizes it permanently.

use burn::{
    module::{Param, ParamId},
    tensor::{Device, Int, Tensor, TensorData, module::embedding},
};
use kiln_kernels::packed::{PackedMatrix, packed_linear, packed_rows};

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

    /// Returns an uninitialized parameter that is dequantized when it is first read.
    pub(crate) fn to_param(&self, device: &Device) -> Param<Tensor<2>> {
        let packed = self.clone();
        let init = move |device: &Device, _| {
            let rows = Tensor::from_data(TensorData::new(packed.matrix.dequantize(), packed.matrix.shape()), device);
            if packed.transposed { rows.transpose() } else { rows }
        };
        Param::uninitialized(ParamId::new(), init, device.clone(), false, self.shape().into())
    }
}

/// A weight matrix, quantized or not. Its methods multiply and look up rows without dequantizing the whole matrix.
#[derive(Clone, Copy, Debug)]
pub struct WeightView<'a> {
    weight: &'a Param<Tensor<2>>,
    packed: Option<&'a PackedMatrix>,
}

impl<'a> WeightView<'a> {
    /// Returns a view of a parameter and its packed form. The packed form is used as long as the parameter isn't initialized.
    pub fn new(weight: &'a Param<Tensor<2>>, packed: Option<&'a PackedWeight>) -> Self {
        let packed = packed.filter(|_| !weight.is_initialized()).map(|packed| &packed.matrix);
        Self { weight, packed }
    }

    /// Returns the packed matrix; `None` if there is none or it has already been dequantized.
    pub fn packed(&self) -> Option<&'a PackedMatrix> {
        self.packed
    }

    /// Returns the dequantized weight. From then on, the packed form is no longer used.
    pub fn val(&self) -> Tensor<2> {
        self.weight.val()
    }

    /// Embedding lookup in a table `[V, M]`: rows `ids`, `[B, T] → [B, T, M]`.
    pub fn lookup(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        match self.packed {
            Some(packed) => packed_rows(ids, packed),
            None => embedding(self.val(), ids),
        }
    }

    /// Product with a table `[V, M]`: x Wᵀ, `[N, M] → [N, V]`. For a head tied to the embedding.
    pub fn matmul_transposed(&self, x: Tensor<2>) -> Tensor<2> {
        match self.packed {
            Some(packed) => packed_linear(x, packed),
            None => x.matmul(self.val().transpose()),
        }
    }

    /// Product with a map `[M, V]`: x W, `[N, M] → [N, V]`.
    pub fn matmul(&self, x: Tensor<2>) -> Tensor<2> {
        match self.packed {
            Some(packed) => packed_linear(x, packed),
            None => x.matmul(self.val()),
        }
    }
}
