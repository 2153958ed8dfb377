//! The module `Dense`: activation(x W + b), optionally with a residual connection.

use burn::tensor::{Tensor, TensorData, activation};
use kiln_kernels::exact::Arithmetic;
use kiln_nn::arithmetic::product;
use kiln_spec::ValidationError;
#[cfg(feature = "files")]
use serde_json::{Value, json};

/// Activation function after a dense module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenseActivation {
    /// x.
    Identity,
    /// tanh x.
    Tanh,
    /// max(x, 0).
    Relu,
    /// x Φ(x), with the error function.
    Gelu,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// x / (1 + e⁻ˣ).
    Silu,
}

/// Names of PyTorch's classes.
const ACTIVATIONS: [(&str, DenseActivation); 6] = [
    ("Identity", DenseActivation::Identity),
    ("Tanh", DenseActivation::Tanh),
    ("ReLU", DenseActivation::Relu),
    ("GELU", DenseActivation::Gelu),
    ("Sigmoid", DenseActivation::Sigmoid),
    ("SiLU", DenseActivation::Silu),
];

impl DenseActivation {
    /// The activation of a class of PyTorch: `Tanh` of `torch.nn.modules.activation.Tanh`.
    ///
    /// # Errors
    /// If Kiln does not implement the class.
    pub fn from_class(path: &str) -> Result<Self, ValidationError> {
        let class = path.rsplit('.').next().unwrap_or(path);
        let is_torch = path.starts_with("torch.nn.");
        match ACTIVATIONS.iter().find(|(name, _)| *name == class && is_torch) {
            Some((_, activation)) => Ok(*activation),
            None => {
                let names = ACTIVATIONS.map(|(name, _)| name).join(", ");
                let error = ValidationError::new("activation_function", format!("unsupported class `{path}`"));
                Err(error.with_suggestion(format!("supported classes of torch.nn: {names}")))
            }
        }
    }

    /// The class of PyTorch. The reverse of [`from_class`](Self::from_class).
    #[cfg(feature = "files")]
    fn class(self) -> String {
        let name = ACTIVATIONS.iter().find(|(_, activation)| *activation == self).map_or("", |(name, _)| name);
        let module = if self == Self::Identity { "linear" } else { "activation" };
        format!("torch.nn.modules.{module}.{name}")
    }

    fn apply(self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Identity => x,
            Self::Tanh => x.tanh(),
            Self::Relu => activation::relu(x),
            Self::Gelu => activation::gelu(x),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Silu => activation::silu(x),
        }
    }
}

/// A dense module with its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseModule {
    /// W, `[in, out]`, row-major.
    weight: Vec<f32>,
    shape: [usize; 2],
    bias: Option<Vec<f32>>,
    activation: DenseActivation,
    residual: Residual,
}

/// What is added to the output.
#[derive(Clone, Debug, PartialEq)]
enum Residual {
    None,
    Input,
    /// The input times a matrix `[in, out]`.
    Projected(Vec<f32>),
}

impl DenseModule {
    /// A module from W `[in, out]`, row-major, and b `[out]`.
    ///
    /// # Errors
    /// If a number of values does not fit `shape`.
    pub fn new(
        shape: [usize; 2],
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
        activation: DenseActivation,
    ) -> Result<Self, ValidationError> {
        let fits = weight.len() == shape[0] * shape[1] && bias.as_ref().is_none_or(|bias| bias.len() == shape[1]);
        if !fits {
            return Err(ValidationError::new("linear", format!("expected weights of the shape {shape:?}")));
        }
        Ok(Self { weight, shape, bias, activation, residual: Residual::None })
    }

    /// The module with a residual connection: the input is added to the output, projected by `matrix` `[in, out]` if the
    /// two have different widths.
    ///
    /// # Errors
    /// If the matrix is missing or does not fit.
    pub fn with_residual(mut self, matrix: Option<Vec<f32>>) -> Result<Self, ValidationError> {
        let [inputs, outputs] = self.shape;
        self.residual = match matrix {
            None if inputs == outputs => Residual::Input,
            Some(matrix) if matrix.len() == inputs * outputs => Residual::Projected(matrix),
            _ => {
                return Err(ValidationError::new(
                    "residual",
                    format!("expected weights of the shape {:?}", self.shape),
                ));
            }
        };
        Ok(self)
    }

    /// The contents of the module's `config.json`.
    #[cfg(feature = "files")]
    pub(super) fn to_json(&self) -> Value {
        let [inputs, outputs] = self.shape;
        let mut json = json!({
            "in_features": inputs, "out_features": outputs, "bias": self.bias.is_some(),
            "activation_function": self.activation.class(),
        });
        if self.residual != Residual::None {
            json["use_residual"] = true.into();
        }
        json
    }

    /// The tensors of the module's `model.safetensors`, in f32 as PyTorch stores them: name, shape and values.
    #[cfg(feature = "files")]
    pub(super) fn tensors(&self) -> Vec<(&'static str, Vec<usize>, Vec<f32>)> {
        let [inputs, outputs] = self.shape;
        let transposed =
            |values: &[f32]| (0..inputs * outputs).map(|i| values[i % inputs * outputs + i / inputs]).collect();
        let mut tensors = vec![("linear.weight", vec![outputs, inputs], transposed(&self.weight))];
        tensors.extend(self.bias.as_ref().map(|bias| ("linear.bias", vec![outputs], bias.clone())));
        if let Residual::Projected(weight) = &self.residual {
            tensors.push(("residual.weight", vec![outputs, inputs], transposed(weight)));
        }
        tensors
    }

    /// `[N, in] → [N, out]`.
    ///
    /// # Errors
    /// If the vectors have another width.
    pub(super) fn forward(&self, x: Tensor<2>, arithmetic: Arithmetic) -> Result<Tensor<2>, ValidationError> {
        let [inputs, outputs] = self.shape;
        let width = x.dims()[1];
        if width != inputs {
            let reason = format!("expected vectors of width {inputs}, found {width}");
            return Err(ValidationError::new("in_features", reason));
        }
        let device = x.device();
        let matrix = |values: &[f32], shape| Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), &device);
        let mut out = product(x.clone(), matrix(&self.weight, [inputs, outputs]), arithmetic);
        if let Some(bias) = &self.bias {
            out = out + matrix(bias, [1, outputs]);
        }
        let out = self.activation.apply(out);
        Ok(match &self.residual {
            Residual::None => out,
            Residual::Input => out + x,
            Residual::Projected(weight) => out + product(x, matrix(weight, [inputs, outputs]), arithmetic),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn activations_are_found_by_their_class() {
        let tanh = DenseActivation::from_class("torch.nn.modules.activation.Tanh").unwrap();
        assert_eq!(tanh, DenseActivation::Tanh);
        let identity = DenseActivation::from_class("torch.nn.modules.linear.Identity").unwrap();
        assert_eq!(identity, DenseActivation::Identity);
        for other in ["torch.nn.modules.activation.Mish", "my.package.Tanh", ""] {
            assert_eq!(DenseActivation::from_class(other).unwrap_err().path, "activation_function", "{other}");
        }
    }

    #[test]
    fn a_residual_connection_adds_the_input() {
        let x = || Tensor::<2>::from_floats([[1.0, 2.0]], &Device::flex());
        let values = |module: &DenseModule| {
            module.forward(x(), Arithmetic::Fast).unwrap().into_data().iter::<f64>().collect::<Vec<_>>()
        };
        let weight = vec![1.0, -1.0, 0.0, -1.0];
        let dense = DenseModule::new([2, 2], weight.clone(), None, DenseActivation::Relu).unwrap();
        assert_eq!(values(&dense), [1.0, 0.0]);
        assert_eq!(values(&dense.clone().with_residual(None).unwrap()), [2.0, 2.0]);
        assert_eq!(values(&dense.with_residual(Some(weight)).unwrap()), [2.0, -3.0]);
        let narrow = DenseModule::new([2, 1], vec![1.0, 1.0], None, DenseActivation::Identity).unwrap();
        assert!(narrow.with_residual(None).is_err());
    }
}
