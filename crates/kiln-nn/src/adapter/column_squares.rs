//! Squared norms of the columns of a frozen weight, computed once and kept from call to call.

use crate::packed_weight::{BaseWeight, WeightView};
use burn::tensor::Tensor;
use std::sync::{Arc, Mutex, PoisonError};

/// The squared column norms ‖Wⱼ‖² of the weight that they were last asked for. Clones share them.
///
/// They are computed again for another weight, such as a merged or a loaded one, and in every call for a trained weight.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnSquares(Arc<Mutex<Option<(BaseWeight, Tensor<1>)>>>);

impl ColumnSquares {
    /// The squared norms of the columns of this weight, `[out]`, outside of the autodiff graph.
    pub fn of(&self, weight: &WeightView) -> Tensor<1> {
        let base = weight.base_weight();
        if weight.is_trained() {
            return base.column_squares();
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, squares)) = &*kept
            && of.is_same(&base)
        {
            return squares.clone();
        }
        let squares = base.column_squares();
        *kept = Some((base, squares.clone()));
        squares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed_weight::PackedWeight;
    use burn::{
        module::Param,
        tensor::{Device, TensorData},
    };
    use kiln_kernels::packed::{GgmlType, PackedMatrix, quantize::quantize};

    const SHAPE: [usize; 2] = [32, 3];

    fn values(factor: f32) -> TensorData {
        TensorData::new((0..96).map(|i| factor * ((i * 7 % 11) as f32 - 5.0)).collect::<Vec<_>>(), SHAPE)
    }

    fn to_vec(tensor: Tensor<1>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    /// The kept values are replaced by wrong ones: whoever reads them shows it.
    fn planted(squares: &ColumnSquares) {
        let mut kept = squares.0.lock().unwrap();
        let (of, right) = kept.take().expect("kept values");
        *kept = Some((of, right - 1.0));
    }

    #[test]
    fn a_frozen_weight_is_read_once_and_another_one_again() {
        let squares = ColumnSquares::default();
        let device = Device::flex();
        let [first, second] = [1.0, 2.0].map(|factor| Param::from_data(values(factor), &device));
        let [one, two] = [&first, &second].map(|weight| WeightView::new(weight, None));
        let right = to_vec(one.base_weight().column_squares());
        assert_eq!(to_vec(squares.of(&one)), right);
        planted(&squares);
        assert_ne!(to_vec(squares.of(&one)), right, "the kept values are used");
        let four_times: Vec<f32> = right.iter().map(|square| 4.0 * square).collect();
        assert_eq!(to_vec(squares.of(&two)), four_times);
        assert_eq!(to_vec(squares.of(&one)), right);
        // The same parameter with other values.
        let changed = first.map(|weight| weight * 2.0);
        assert_eq!(to_vec(squares.of(&WeightView::new(&changed, None))), four_times);
    }

    #[test]
    fn a_trained_weight_is_read_in_every_call() {
        let squares = ColumnSquares::default();
        let device = Device::flex().autodiff();
        let trained = Param::<Tensor<2>>::from_data(values(1.0), &device);
        assert!(WeightView::new(&trained, None).is_trained());
        squares.of(&WeightView::new(&trained, None));
        assert!(squares.0.lock().unwrap().is_none(), "nothing is kept of it");
        let frozen = trained.set_require_grad(false);
        let right = to_vec(squares.of(&WeightView::new(&frozen, None)));
        planted(&squares);
        assert_ne!(to_vec(squares.of(&WeightView::new(&frozen, None))), right, "the kept values are used");
    }

    #[test]
    fn a_packed_weight_is_dequantized_once() {
        let q8 = GgmlType::from_name("Q8_0").unwrap();
        let packed = |factor| {
            let rows = quantize(q8, &values(factor).iter::<f32>().collect::<Vec<_>>()).unwrap();
            PackedWeight::new(PackedMatrix::new(q8, [SHAPE[1], SHAPE[0]], rows.into()).unwrap(), true)
        };
        let (one, two) = (packed(1.0), packed(2.0));
        let device = Device::flex().autodiff();
        let params = [&one, &two].map(|weight| weight.to_param(&device));
        let views = [WeightView::new(&params[0], Some(&one)), WeightView::new(&params[1], Some(&two))];
        let squares = ColumnSquares::default();
        let right = to_vec(squares.of(&views[0]));
        planted(&squares);
        assert_ne!(to_vec(squares.of(&views[0])), right, "the kept values are used");
        assert_ne!(to_vec(squares.of(&views[1])), right);
        assert_eq!(to_vec(squares.of(&views[0])), right);
    }
}
