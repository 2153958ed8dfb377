//! The precisions in which a model may hold its weights, for laws that hold in each of them.

use crate::values;
use kiln_kernels::packed::{GgmlType, PackedMatrix, quantize::quantize};
use kiln_models::{HeldWeights, Model, WeightPrecision, load_held_weights};
use kiln_nn::packed_weight::PackedWeight;
use std::collections::BTreeMap;

/// Precision of the weights of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldPrecision {
    /// 32-bit floats.
    F32,
    /// Matrices of bf16.
    Bf16,
    /// Matrices of linear layers packed: Q8_0 where their inputs fill whole blocks, otherwise F16.
    Packed,
}

impl HeldPrecision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Packed];

    /// Returns the model with its weights in this precision.
    ///
    /// # Panics
    /// If the weights can't be read.
    pub fn apply(self, model: &Model) -> Model {
        let mut held = HeldWeights { values: values(model), packed: BTreeMap::new() };
        let precision = match self {
            Self::F32 => return model.clone(),
            Self::Bf16 => WeightPrecision::Bf16,
            Self::Packed => {
                pack_linear_layers(model, &mut held);
                WeightPrecision::Keep
            }
        };
        load_held_weights(model, held, precision).expect("the names of the model")
    }
}

/// Moves the weights of all linear layers to the packed ones.
fn pack_linear_layers(model: &Model, held: &mut HeldWeights) {
    for (layer, [from, to]) in Model::linear_layers(model.config()) {
        let name = format!("{layer}.weight");
        let Some(data) = held.values.remove(&name) else { continue };
        let data: Vec<f32> = data.iter::<f32>().collect();
        let columns = (0..to).flat_map(|column| (0..from).map(move |row| row * to + column));
        let columns: Vec<f32> = columns.map(|index| data[index]).collect();
        let format = GgmlType::from_name(if from.is_multiple_of(32) { "Q8_0" } else { "F16" }).expect("a format");
        let bytes = quantize(format, &columns).expect("whole blocks");
        let matrix = PackedMatrix::new(format, [to, from], bytes.into()).expect("whole rows");
        held.packed.insert(name, PackedWeight { matrix, transposed: true, stack: None });
    }
}
