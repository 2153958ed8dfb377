//! Comparison of tensors in tests: values, greatest difference, and an assertion with a tolerance.

use burn::tensor::Tensor;

/// Returns the values of a tensor of any float type, row-major, as `f64`.
///
/// # Panics
/// If the values can't be converted to `f64`.
pub fn to_f64_vec<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    let data = tensor.clone().into_data().convert::<f64>();
    data.try_to_vec::<f64>().expect("float values")
}

/// Returns the greatest |a − b|, 0 for tensors without elements. Equal infinities differ by 0; a NaN in either tensor gives
/// NaN, which fails every comparison with a tolerance.
///
/// # Panics
/// If the shapes differ.
pub fn max_abs_diff<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f64 {
    assert_eq!(a.dims(), b.dims(), "shapes differ");
    let differences =
        to_f64_vec(a).into_iter().zip(to_f64_vec(b)).map(|(x, y)| if x == y { 0.0 } else { (x - y).abs() });
    differences
        .fold(0.0, |max, difference| if difference.is_nan() || max.is_nan() { f64::NAN } else { max.max(difference) })
}

/// Asserts |a − b| ≤ `tolerance` for every element.
///
/// # Panics
/// If the shapes differ, a value is NaN, or a difference is greater.
#[track_caller]
pub fn assert_close<const D: usize>(a: &Tensor<D>, b: &Tensor<D>, tolerance: f64) {
    let difference = max_abs_diff(a, b);
    assert!(difference <= tolerance, "greatest difference {difference:e}, expected at most {tolerance:e}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_nan_anywhere_is_reported() {
        let tensor = |values: [f32; 3]| Tensor::<1>::from_floats(values, &Device::flex());
        assert!(max_abs_diff(&tensor([0.0, f32::NAN, 1.0]), &tensor([0.0, 1.0, 1.0])).is_nan());
        assert_eq!(max_abs_diff(&tensor([0.0, f32::INFINITY, 1.0]), &tensor([0.0, f32::INFINITY, 3.0])), 2.0);
    }
}
