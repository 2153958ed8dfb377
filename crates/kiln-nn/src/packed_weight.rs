//! Matrices that are held packed until somebody asks for their numbers.
//!
//! A packed matrix stands beside its parameter, which is made from it when it is first read. As long as nobody does, or
//! changes it, products are computed from the packed rows; from then on the parameter is what counts.

use burn::{
    module::{Param, ParamId},
    tensor::{Device, Int, Tensor, TensorData, module::embedding},
};
use kiln_kernels::packed::{PackedMatrix, packed_linear, packed_rows};

/// A packed matrix and how it stands to its parameter.
#[derive(Clone, Debug)]
pub struct PackedWeight {
    /// Its rows.
    pub matrix: PackedMatrix,
    /// Whether its rows are the columns of the parameter: a linear map's weight is `[in, out]`, and an output's numbers
    /// are packed together.
    pub transposed: bool,
}

impl PackedWeight {
    /// The shape of the parameter.
    pub fn shape(&self) -> [usize; 2] {
        let [rows, columns] = self.matrix.shape();
        if self.transposed { [columns, rows] } else { [rows, columns] }
    }

    /// The numbers of the parameter.
    pub fn values(&self) -> TensorData {
        let rows = self.matrix.dequantize();
        if !self.transposed {
            return TensorData::new(rows, self.shape());
        }
        let [height, width] = self.shape();
        let turned = (0..height * width).map(|i| rows[i % width * height + i / width]);
        TensorData::new(turned.collect::<Vec<_>>(), [height, width])
    }

    /// The parameter, made when it is read.
    pub(crate) fn to_param(&self, device: &Device) -> Param<Tensor<2>> {
        let held = self.clone();
        let made = move |device: &Device, _| {
            let rows = Tensor::from_data(TensorData::new(held.matrix.dequantize(), held.matrix.shape()), device);
            if held.transposed { rows.transpose() } else { rows }
        };
        Param::uninitialized(ParamId::new(), made, device.clone(), false, self.shape().into())
    }
}

/// A matrix of a model: a parameter, or what it is packed as.
#[derive(Clone, Copy, Debug)]
pub struct WeightView<'a> {
    weight: &'a Param<Tensor<2>>,
    packed: Option<&'a PackedMatrix>,
}

impl<'a> WeightView<'a> {
    /// The parameter with what is held of it.
    pub fn new(weight: &'a Param<Tensor<2>>, held: Option<&'a PackedWeight>) -> Self {
        let packed = held.filter(|_| !weight.is_initialized()).map(|held| &held.matrix);
        Self { weight, packed }
    }

    /// The packed rows, if it is packed.
    pub fn packed(&self) -> Option<&'a PackedMatrix> {
        self.packed
    }

    /// Its numbers: a packed one is unpacked, and stays so.
    pub fn val(&self) -> Tensor<2> {
        self.weight.val()
    }

    /// Of a table `[V, M]`: the rows of these numbers, `[B, T] → [B, T, M]`.
    pub fn lookup(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        match self.packed {
            Some(packed) => packed_rows(ids, packed),
            None => embedding(self.val(), ids),
        }
    }

    /// Of a table `[V, M]`: the products with all rows, `[N, M] → [N, V]`.
    pub fn matmul_transposed(&self, x: Tensor<2>) -> Tensor<2> {
        match self.packed {
            Some(packed) => packed_linear(x, packed),
            None => x.matmul(self.val().transpose()),
        }
    }

    /// Of a map `[M, V]`: x W, `[N, M] → [N, V]`.
    pub fn matmul(&self, x: Tensor<2>) -> Tensor<2> {
        match self.packed {
            Some(packed) => packed_linear(x, packed),
            None => x.matmul(self.val()),
        }
    }
}
