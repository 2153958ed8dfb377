//! What stands beside a linear map and changes it with few parameters of its own, the map's weight left as it is.
//!
//! To add one: a file here, its `mod` line and its list line below. A method says what it is by a plain value, which
//! [`Init`] is given by the map's name; so every part that has linear maps has adapters, and none knows of them.

mod lora;

pub use lora::{Lora, LoraShape, LoraStart};

use crate::{cx::Cx, init::Init, linear::Linear};
use burn::{module::Module, tensor::Tensor};
use std::collections::BTreeMap;

/// What an adapter does.
pub trait Adapt: Module + Sized {
    /// What it is, as plain data.
    type Shape: Clone + PartialEq + std::fmt::Debug + Send;

    /// Makes its parameters beside a map `[in, out]`; at first the map is as it was.
    fn init(shape: &Self::Shape, map: [usize; 2], init: &mut Init) -> Self;

    /// What the map `base` makes of `x` with it, `[…, in] → […, out]`. Without a context nothing is drawn.
    fn forward<const D: usize>(&self, x: Tensor<D>, base: &Linear, cx: Option<&Cx>) -> Tensor<D>;

    /// The one weight that does the same, of the map's weight `[in, out]`.
    fn merged(&self, weight: Tensor<2>) -> Tensor<2>;

    /// Multiplications and additions a token.
    fn flops(&self) -> f64;
}

macro_rules! adapters {
    ($($(#[doc = $doc:literal])* $name:literal => $Name:ident($Type:ty)),+ $(,)?) => {
        /// An adapter.
        #[derive(Module, Debug)]
        #[allow(missing_docs)]
        pub enum Adapter { $($Name($Type)),+ }

        /// What an adapter is, without its parameters.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Method { $($(#[doc = $doc])* $Name(<$Type as Adapt>::Shape)),+ }

        impl Method {
            /// Its name, under which its parameters stand: `blocks.7.attention.q.lora.a`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$Name(_) => $name),+ }
            }

            /// Makes it beside a map `[in, out]`.
            pub fn init(&self, map: [usize; 2], init: &mut Init) -> Adapter {
                match self {
                    $(Self::$Name(shape) => init.scope($name, |init| Adapter::$Name(Adapt::init(shape, map, init)))),+
                }
            }
        }

        impl Adapter {
            /// What `base` makes of `x` with it, `[…, in] → […, out]`.
            pub fn forward<const D: usize>(&self, x: Tensor<D>, base: &Linear, cx: Option<&Cx>) -> Tensor<D> {
                match self { $(Self::$Name(adapter) => adapter.forward(x, base, cx)),+ }
            }

            /// The one weight that does the same, of the map's weight `[in, out]`.
            pub fn merged(&self, weight: Tensor<2>) -> Tensor<2> {
                match self { $(Self::$Name(adapter) => adapter.merged(weight)),+ }
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
pub type Adapters = BTreeMap<String, Beside>;

/// An adapter and whether it acts.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside {
    /// What it is.
    pub method: Method,
    /// Whether it acts; if not, the map is as it was, to the bit.
    pub on: bool,
}
