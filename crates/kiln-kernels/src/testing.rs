//! Comparing tensors in tests.

use burn::tensor::Tensor;

/// Values of a tensor, row-major.
///
/// # Panics
/// If the values can't be read as `f32`.
pub fn to_f64_vec<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    let data = tensor.clone().into_data().convert::<f64>();
    data.try_to_vec::<f64>().expect("float values")
}

/// Greatest |a − b|.
///
/// # Panics
/// If the shapes differ, or a value is not a number in one alone.
pub fn max_abs_diff<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f64 {
    assert_eq!(a.dims(), b.dims(), "shapes differ");
    let apart = |(x, y): (f64, f64)| if x == y { 0.0 } else { (x - y).abs() };
    let distances = to_f64_vec(a).into_iter().zip(to_f64_vec(b)).map(apart);
    distances.fold(0.0, |most, d| if d.is_nan() { f64::NAN } else { most.max(d) })
}

/// Fails unless |a − b| ≤ `tolerance` everywhere.
///
/// # Panics
/// If it isn't so.
#[track_caller]
pub fn assert_close<const D: usize>(a: &Tensor<D>, b: &Tensor<D>, tolerance: f64) {
    let distance = max_abs_diff(a, b);
    assert!(distance <= tolerance, "apart by {distance:e}, more than {tolerance:e}");
}
