//! A float tensor of any rank.

use burn::tensor::{DType, ExecutionError, Tensor, TensorData};
use std::any::Any;

/// Float tensor whose rank is known at run time only.
///
/// Burn's `Tensor<D>` has its rank in its type, so a closure over all parameters of a model can't take one. This type
/// holds a `Tensor<D>` of any `D` without a copy; [`flatten`](Self::flatten) and [`downcast`](Self::downcast) give it
/// back.
pub struct AnyTensor(Box<dyn ErasedTensor>);

/// What is computed of a tensor whatever its rank.
trait ErasedTensor: Any + Send {
    fn shape(&self) -> Vec<usize>;
    fn inner(self: Box<Self>) -> AnyTensor;
    fn flatten(self: Box<Self>) -> Tensor<1>;
    fn cast(self: Box<Self>, dtype: DType) -> AnyTensor;
    fn sum_of_squares(self: Box<Self>) -> Tensor<1>;
    fn into_data(self: Box<Self>) -> Result<TensorData, ExecutionError>;
}

impl<const D: usize> ErasedTensor for Tensor<D> {
    fn shape(&self) -> Vec<usize> {
        self.dims().to_vec()
    }

    fn inner(self: Box<Self>) -> AnyTensor {
        Tensor::inner(*self).into()
    }

    fn flatten(self: Box<Self>) -> Tensor<1> {
        let length = self.dims().iter().product::<usize>();
        self.reshape([length])
    }

    fn cast(self: Box<Self>, dtype: DType) -> AnyTensor {
        Tensor::<D>::cast(*self, dtype).into()
    }

    fn sum_of_squares(self: Box<Self>) -> Tensor<1> {
        self.square().sum_dim(D - 1).sum()
    }

    fn into_data(self: Box<Self>) -> Result<TensorData, ExecutionError> {
        self.try_into_data()
    }
}

impl<const D: usize> From<Tensor<D>> for AnyTensor {
    fn from(tensor: Tensor<D>) -> Self {
        Self(Box::new(tensor))
    }
}

impl AnyTensor {
    /// Shape, slowest dimension first.
    pub fn shape(&self) -> Vec<usize> {
        self.0.shape()
    }

    /// The same values outside of the autodiff graph. Does nothing to a tensor that is not on an autodiff device.
    #[must_use]
    pub fn inner(self) -> Self {
        self.0.inner()
    }

    /// The elements in row-major order, `[elements]`. No copy if the tensor is contiguous.
    pub fn flatten(self) -> Tensor<1> {
        self.0.flatten()
    }

    /// The values rounded to another float type. Does nothing to a tensor that has it.
    #[must_use]
    pub fn cast(self, dtype: DType) -> Self {
        self.0.cast(dtype)
    }

    /// Sum of the squared elements, `[1]`.
    ///
    /// The order of summation is fixed: each row (the last dimension) first, then the sums of the rows. A sum over all
    /// elements of a large tensor at once has no fixed order, since threads sum its pieces as they come.
    pub fn sum_of_squares(self) -> Tensor<1> {
        self.0.sum_of_squares()
    }

    /// The tensor with its rank in its type.
    ///
    /// # Errors
    /// Returns the tensor unchanged if its rank is not `D`.
    pub fn downcast<const D: usize>(self) -> Result<Tensor<D>, Self> {
        let rank = self.0.shape().len();
        if rank != D {
            return Err(self);
        }
        let any: Box<dyn Any> = self.0;
        Ok(*any.downcast::<Tensor<D>>().expect("a tensor of the rank that was just compared"))
    }

    /// The elements in row-major order as a tensor of this shape. Does nothing to a tensor that has it.
    ///
    /// # Panics
    /// If the shape has another number of elements.
    pub fn reshape<const D: usize>(self, shape: [usize; D]) -> Tensor<D> {
        match self.downcast::<D>() {
            Ok(tensor) if tensor.dims() == shape => tensor,
            Ok(tensor) => tensor.reshape(shape),
            Err(other) => other.flatten().reshape(shape),
        }
    }

    /// The values, read from the device.
    ///
    /// # Errors
    /// If the device fails.
    pub fn into_data(self) -> Result<TensorData, ExecutionError> {
        self.0.into_data()
    }
}
