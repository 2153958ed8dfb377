//! Precision of weights: the types in which a model holds them.
//!
//! Activations, gradients and optimizer state are f32 in every case. Matrices (of linear layers, the token embedding and the
//! output matrix) are held at two bytes a value with bf16 and f16, and packed as in the file with [`WeightPrecision::Keep`];
//! their products convert them in tiles. The stacked matrices of experts are held so too where they have no gradient: in
//! inference on the CPU, and if they are quantized. All other weights (norms, biases, position tables, experts that train) are
//! held as 32-bit floats, rounded to the 16-bit type, so that they are saved at two bytes without loss. Values that are a
//! function of the file's (w + 1, −exp) are held as 32-bit floats unrounded.

use crate::{
    Model,
    parameters::map_params,
    tensors::{TensorError, TensorInfo},
};
use burn::tensor::{DType, Device, TensorData};
use kiln_kernels::packed::{GgmlType, is_half};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Type in which a model holds its weights.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum WeightPrecision {
    /// The types of the file: 16-bit floats stay 16-bit floats, quantized matrices stay quantized.
    #[default]
    Keep,
    /// 32-bit floats.
    F32,
    /// bfloat16: 8 bits of precision, the range of f32.
    Bf16,
    /// IEEE 754 half precision: 11 bits of precision, up to ±65504.
    F16,
}

impl WeightPrecision {
    /// The precision of a model that is loaded without a wish: [`Keep`](Self::Keep) on the CPU without autodiff, else
    /// [`F32`](Self::F32).
    pub fn default_on(device: &Device) -> Self {
        if *device == Device::flex() && !device.is_autodiff() { Self::Keep } else { Self::F32 }
    }

    /// The name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// The 16-bit float type; `None` for the other two.
    pub fn half_dtype(self) -> Option<DType> {
        match self {
            Self::Keep | Self::F32 => None,
            Self::Bf16 => Some(DType::BF16),
            Self::F16 => Some(DType::F16),
        }
    }

    /// The float type in which a matrix is held that a file stores as `file_dtype` (`BF16`, `Q4_K`), if it isn't packed.
    pub(crate) fn matrix_dtype(self, file_dtype: &str) -> DType {
        match (self, file_dtype) {
            (Self::Bf16, _) | (Self::Keep, "BF16") => DType::BF16,
            (Self::F16, _) | (Self::Keep, "F16") => DType::F16,
            _ => DType::F32,
        }
    }

    /// The 16-bit type of all weights of a model with these tensors; `None` if some have another type.
    pub(crate) fn common_dtype(self, entries: &BTreeMap<String, TensorInfo>) -> Option<DType> {
        let mut types = entries.values().map(|entry| self.matrix_dtype(&entry.dtype));
        let first = types.next().filter(|dtype| is_half(*dtype))?;
        types.all(|dtype| dtype == first).then_some(first)
    }
}

/// The block format of a 16-bit float type; `None` for other types.
pub(crate) fn half_type(dtype: DType) -> Option<&'static GgmlType> {
    match dtype {
        DType::BF16 => GgmlType::from_name("BF16"),
        DType::F16 => GgmlType::from_name("F16"),
        _ => None,
    }
}

/// `data` rounded to the 16-bit type `rounding`, if it is one, and then converted to `held`. Values that have the types already
/// are not copied.
pub(crate) fn convert_values(
    name: &str,
    data: TensorData,
    rounding: Option<DType>,
    held: DType,
) -> Result<TensorData, TensorError> {
    let Some(half) = rounding.filter(|half| is_half(*half) && *half != data.dtype()) else {
        return Ok(converted(data, held));
    };
    let rounded = data.convert_dtype(half);
    if rounded.iter::<f32>().all(f32::is_finite) {
        return Ok(converted(rounded, held));
    }
    let reason = format!("values are not representable in {half:?}: NaN, infinite or out of range");
    Err(TensorError::Broken { name: name.into(), reason })
}

/// The values as another float type. 16-bit floats become 32-bit floats by several threads.
pub(crate) fn converted(data: TensorData, dtype: DType) -> TensorData {
    match half_type(data.dtype()).filter(|_| dtype == DType::F32) {
        Some(half) => {
            let mut values = vec![0.0; data.num_elements()];
            half.par_dequantize(data.as_bytes(), &mut values);
            TensorData::new(values, data.shape().clone())
        }
        None => data.convert_dtype(dtype),
    }
}

impl Model {
    /// The 16-bit type that all weights are rounded to, other than those of adapters; `None` if they are not: all are f32, or
    /// each has the type of its file.
    pub fn weight_dtype(&self) -> Option<DType> {
        self.weight_dtype
    }

    /// Whether a parameter is a matrix that can be packed or of 16-bit floats: the weight of a linear layer, the token
    /// embedding or the output matrix.
    pub fn holds_in_half(&self, name: &str) -> bool {
        self.matrices.contains_key(name)
    }

    /// The model with all weights other than those of adapters rounded to a 16-bit type, and its matrices held in it.
    /// Parameters keep their ids. Values beyond the range of the type become infinite.
    #[must_use]
    pub fn with_weight_dtype(self, half: DType) -> Self {
        let (names, outline) = (self.matrices.clone(), self.clone());
        let mut model = map_params(self, |param| {
            let name = param.name();
            if outline.is_adapter_parameter(&name) {
                return;
            }
            let is_matrix = names.contains_key(&name);
            param.map_held(|value| {
                let rounded = value.cast(half);
                if is_matrix { rounded } else { rounded.cast(DType::F32) }
            });
        });
        model.weight_dtype = Some(half);
        model
    }

    /// The first trainable parameter that can't be trained in the type that it is held in, and that type: a quantized weight,
    /// or one of f16, whose range is too small for training without loss scaling. For a model on an autodiff device.
    pub fn find_untrainable(&self) -> Option<(String, &'static str)> {
        let mut found = None;
        crate::for_each_param(self, |param| {
            if found.is_some() || !param.is_trainable() || self.is_adapter_parameter(&param.name()) {
                return;
            }
            let is_f16 = param.dtype() == Some(DType::F16) || self.weight_dtype == Some(DType::F16);
            if param.packed().is_some() {
                found = Some((param.name(), "quantized"));
            } else if is_f16 {
                found = Some((param.name(), "of f16"));
            }
        });
        found
    }
}

/// Whether a device has a 16-bit float type.
pub fn device_has(device: &Device, half: DType) -> bool {
    match half {
        _ if *device == Device::flex() => true,
        half => device.supports_dtype(half),
    }
}
