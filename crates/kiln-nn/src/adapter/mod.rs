//! What stands beside a linear map and changes it with few parameters of its own, the map's weight left as it is.
//!
//! To add one: a file here, its `mod` line and its list line below. A method says what it is by a plain value, which
//! [`Init`] is given by the map's name; so every part that has linear maps has adapters, and none knows of them.

mod lora;

pub use lora::{Lora, LoraInit, LoraSpec};

use crate::{context::Context, init::Initializer, linear::Linear};
use burn::{module::Module, tensor::Tensor};
use std::collections::BTreeMap;

/// What an adapter does.
pub trait Adapter: Module + Sized {
    /// What it is, as plain data.
    type Spec: Clone + PartialEq + std::fmt::Debug + Send;

    /// Makes its parameters beside a map `[in, out]`; at first the map is as it was.
    fn init(shape: &Self::Spec, map: [usize; 2], init: &mut Initializer) -> Self;

    /// What the map `base` makes of `x` with it, `[…, in] → […, out]`. Without a context nothing is drawn.
    fn forward<const D: usize>(&self, x: Tensor<D>, base: &Linear, cx: Option<&Context>) -> Tensor<D>;

    /// The one weight that does the same, of the map's weight `[in, out]`.
    fn merge(&self, weight: Tensor<2>) -> Tensor<2>;

    /// Multiplications and additions a token.
    fn flops(&self) -> f64;
}

macro_rules! adapters {
    ($($(#[doc = $doc:literal])* $name:literal => $Name:ident($Type:ty)),+ $(,)?) => {
        /// An adapter.
        #[derive(Module, Debug)]
        #[allow(missing_docs)]
        pub enum AnyAdapter { $($Name($Type)),+ }

        /// What an adapter is, without its parameters.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AdapterSpec { $($(#[doc = $doc])* $Name(<$Type as Adapter>::Spec)),+ }

        impl AdapterSpec {
            /// Its name, under which its parameters stand: `blocks.7.attention.q.lora.a`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$Name(_) => $name),+ }
            }

            /// Makes it beside a map `[in, out]`.
            pub fn init(&self, map: [usize; 2], init: &mut Initializer) -> AnyAdapter {
                match self {
                    $(Self::$Name(shape) => init.scope($name, |init| AnyAdapter::$Name(Adapter::init(shape, map, init)))),+
                }
            }
        }

        impl AnyAdapter {
            /// What `base` makes of `x` with it, `[…, in] → […, out]`.
            pub fn forward<const D: usize>(&self, x: Tensor<D>, base: &Linear, cx: Option<&Context>) -> Tensor<D> {
                match self { $(Self::$Name(adapter) => adapter.forward(x, base, cx)),+ }
            }

            /// The one weight that does the same, of the map's weight `[in, out]`.
            pub fn merge(&self, weight: Tensor<2>) -> Tensor<2> {
                match self { $(Self::$Name(adapter) => adapter.merge(weight)),+ }
            }

            /// Multiplications and additions a token.
            pub fn flops(&self) -> f64 {
                match self { $(Self::$Name(adapter) => adapter.flops()),+ }
            }
        }
    };
}

adapters! {
    /// A product of two narrow matrices is added (2106.09685).
    "lora" => Lora(Lora),
}

/// Adapters of a model, by the names of the linear maps that they stand beside.
pub type AdapterMap = BTreeMap<String, AttachedAdapter>;

/// An adapter and whether it acts.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachedAdapter {
    /// What it is.
    pub spec: AdapterSpec,
    /// Whether it acts; if not, the map is as it was, to the bit.
    pub enabled: bool,
}
