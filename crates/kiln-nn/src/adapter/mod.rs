//! Adapters (parameter-efficient fine-tuning): few trained parameters that change a linear map whose weight is frozen.
//!
//! An [`AdapterMap`] names linear maps (`blocks.7.attention.q`) and the adapter of each. The
//! [`Initializer`] adds them while the model is built, so every linear map of every part can have one,
//! and no part refers to adapters.
//!
//! To add a method: a file here, its `mod` line and its list line below.

mod lora;

pub use lora::{Lora, LoraInit, LoraSpec};

use crate::{context::Context, init::Initializer, linear::Linear};
use burn::{module::Module, tensor::Tensor};
use std::collections::BTreeMap;

/// Adapter method: parameters added to a linear map `[in, out]`.
pub trait Adapter: Module + Sized {
    /// Hyperparameters, as plain data.
    type Spec: Clone + PartialEq + std::fmt::Debug + Send;

    /// Builds its parameters for a map of `shape` `[in, out]`. A new adapter must not change the map's output.
    fn init(spec: &Self::Spec, shape: [usize; 2], init: &mut Initializer) -> Self;

    /// Output of the map `base` with this adapter, `[…, in] → […, out]`. Without a context there is no dropout.
    fn forward<const D: usize>(&self, x: Tensor<D>, base: &Linear, cx: Option<&Context>) -> Tensor<D>;

    /// Returns the weight `[in, out]` that gives the same output without the adapter, from the map's weight.
    fn merge(&self, weight: Tensor<2>) -> Tensor<2>;

    /// Returns the floating-point operations per token.
    fn flops(&self) -> f64;
}

/// Declares the list of methods: `AnyAdapter` (modules), `AdapterSpec` (hyperparameters) and their dispatch.
macro_rules! adapters {
    ($($(#[doc = $doc:literal])* $name:literal => $Name:ident($Type:ty)),+ $(,)?) => {
        /// Adapter of any method, with its parameters.
        #[derive(Module, Debug)]
        #[allow(missing_docs)]
        pub enum AnyAdapter { $($Name($Type)),+ }

        /// Method and hyperparameters of an adapter.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AdapterSpec { $($(#[doc = $doc])* $Name(<$Type as Adapter>::Spec)),+ }

        impl AdapterSpec {
            /// Returns the method's name, part of its parameters' paths: `blocks.7.attention.q.lora.a`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$Name(_) => $name),+ }
            }

            /// Builds the adapter of a map of `shape` `[in, out]`.
            pub fn init(&self, shape: [usize; 2], init: &mut Initializer) -> AnyAdapter {
                match self {
                    $(Self::$Name(spec) => init.scope($name, |init| AnyAdapter::$Name(Adapter::init(spec, shape, init)))),+
                }
            }
        }

        impl AnyAdapter {
            /// Output of the map `base` with this adapter, `[…, in] → […, out]`.
            pub fn forward<const D: usize>(&self, x: Tensor<D>, base: &Linear, cx: Option<&Context>) -> Tensor<D> {
                match self { $(Self::$Name(adapter) => adapter.forward(x, base, cx)),+ }
            }

            /// Returns the weight `[in, out]` that gives the same output without the adapter.
            pub fn merge(&self, weight: Tensor<2>) -> Tensor<2> {
                match self { $(Self::$Name(adapter) => adapter.merge(weight)),+ }
            }

            /// Returns the floating-point operations per token.
            pub fn flops(&self) -> f64 {
                match self { $(Self::$Name(adapter) => adapter.flops()),+ }
            }
        }
    };
}

adapters! {
    /// Low-rank adaptation (LoRA, 2106.09685).
    "lora" => Lora(Lora),
}

/// Adapters of a model, by the paths of their linear maps.
pub type AdapterMap = BTreeMap<String, AttachedAdapter>;

/// Adapter of one linear map, enabled or not.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachedAdapter {
    /// Method and hyperparameters.
    pub spec: AdapterSpec,
    /// Whether it is applied. If not, the map's output is that without an adapter, to the bit; the parameters stay loaded.
    pub enabled: bool,
}
