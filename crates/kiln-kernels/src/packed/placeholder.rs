//! Placeholder tensors: the shape of a parameter whose values are held in another form.
//!
//! A frozen quantized weight is held packed, but Burn's modules need a tensor for each parameter: its shape, its device and
//! whether it is trained are asked for all the time. A placeholder answers these without memory: a single NaN, repeated by
//! strides of 0. An operation that reads it by mistake gives NaN, which training reports at once.

use burn::{
    backend::flex::{Flex, FlexTensor, Layout},
    tensor::{Bytes, DType, Device, Tensor},
};

/// Returns a tensor of this shape without values, on flex: 4 bytes of memory. `device` may be an autodiff device.
pub fn placeholder<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let layout = Layout::new(shape.into(), vec![0; D], 0);
    let tensor = FlexTensor::new(Bytes::from_elems(vec![f32::NAN]), layout, DType::F32);
    let tensor = Tensor::from_primitive::<Flex>(tensor);
    if device.is_autodiff() { tensor.autodiff() } else { tensor }
}

/// Whether a tensor is a [`placeholder`]: all of its elements, more than one, share one place in memory.
pub fn is_placeholder<const D: usize>(tensor: &Tensor<D>) -> bool {
    if tensor.dtype() != DType::F32 || tensor.device() != Device::flex() || tensor.shape().num_elements() < 2 {
        return false;
    }
    let plain = if tensor.is_autodiff() { tensor.clone().inner() } else { tensor.clone() };
    let primitive = plain.try_into_primitive::<Flex>();
    primitive.is_ok_and(|primitive| primitive.layout().strides().iter().all(|stride| *stride == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_placeholder_is_one() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let tensor = placeholder([3, 5], &device);
            assert!(is_placeholder(&tensor) && is_placeholder(&tensor.clone().transpose()));
            assert_eq!((tensor.dims(), tensor.is_autodiff()), ([3, 5], device.is_autodiff()));
            let values: Vec<f32> = tensor.clone().into_data().iter::<f32>().collect();
            assert!(values.len() == 15 && values.iter().all(|value| value.is_nan()));
            assert!(!is_placeholder(&(tensor + 1.0)));
            assert!(!is_placeholder(&Tensor::<2>::ones([3, 5], &device)));
            assert!(!is_placeholder(&Tensor::<2>::ones([1, 1], &device)));
        }
    }
}
