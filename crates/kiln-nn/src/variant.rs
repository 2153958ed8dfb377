//! What every part has: a configuration, a card, a legality and a way to be made.

use crate::init::Initializer;
use burn::module::Module;
use kiln_spec::{Direction, ValidationError};

pub use kiln_spec::card::{Card, Causality};

/// What surrounds a part: read when it is checked, filled in and made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BuildContext<'a> {
    /// Width of the residual stream, M.
    pub hidden: usize,
    /// Number of tokens, V.
    pub vocab: usize,
    /// Query heads of the stack's first attention; 0 if it has none.
    pub heads: usize,
    /// Dropout's rate in the stack.
    pub dropout: f64,
    /// Positions of the stack.
    pub position: &'a crate::position::PositionConfig,
    /// The stack's default direction.
    pub direction: Direction,
}

/// A member of a registry.
pub trait Variant: Module + Sized {
    /// Its configuration: plain data.
    type Config;

    /// Its card.
    const CARD: Card;

    /// Writes down what the configuration leaves to its surroundings, so that what is saved says everything.
    fn resolve(_config: &mut Self::Config, _around: &BuildContext) {}

    /// Refuses what can't be, with the path and the reason.
    ///
    /// # Errors
    /// The first thing that can't be.
    fn check(_config: &Self::Config, _around: &BuildContext, _path: &str) -> Result<(), ValidationError> {
        Ok(())
    }

    /// Makes the module.
    fn init(config: &Self::Config, around: &BuildContext, init: &mut Initializer) -> Self;
}

/// No matrix is wider, on either side: beyond it a size is a slip, and its products would not fit.
pub const MAX_WIDTH: usize = 1 << 20;

/// What a part costs, besides its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Multiplications and additions for one token of a sequence of the length asked for, forward only.
    pub flops: f64,
    /// Bytes of state a token of that length keeps while generating, on the average of a sequence.
    pub state_bytes: f64,
}

/// A registry: one list line a variant makes its place in the configuration, in the module, in making, checking and
/// listing. The module enum derefs to the trait object of its family.
#[macro_export]
macro_rules! variants {
    ($(#[doc = $about:literal])* $Kind:ident, $Config:ident: dyn $Trait:path {
        $($(#[doc = $doc:literal])* $name:literal => $Name:ident($Type:ty)),+ $(,)?
    }) => {
        kiln_spec::choice! {
            $(#[doc = $about])*
            pub enum $Config {
                $($(#[doc = $doc])* $name => $Name(<$Type as $crate::variant::Variant>::Config)),+
            }
        }

        $(#[doc = $about])*
        #[derive(burn::module::Module, Debug)]
        #[allow(clippy::large_enum_variant, missing_docs)]
        pub enum $Kind { $($Name($Type)),+ }

        impl $Kind {
            /// The cards of all variants, in the order of the list.
            pub const CARDS: &'static [$crate::variant::Card] = &[$(<$Type as $crate::variant::Variant>::CARD),+];
        }

        impl $Config {
            /// The variant's card.
            pub fn card(&self) -> &'static $crate::variant::Card {
                match self { $(Self::$Name(_) => &<$Type as $crate::variant::Variant>::CARD),+ }
            }

            /// Writes down what is left to the surroundings.
            pub fn resolve(&mut self, around: &$crate::variant::BuildContext) {
                match self { $(Self::$Name(c) => <$Type as $crate::variant::Variant>::resolve(c, around)),+ }
            }

            /// Refuses what can't be.
            ///
            /// # Errors
            /// The first thing that can't be.
            pub fn check(
                &self, around: &$crate::variant::BuildContext, path: &str,
            ) -> Result<(), kiln_spec::ValidationError> {
                let path = format!("{path}.{}", self.name());
                match self { $(Self::$Name(c) => <$Type as $crate::variant::Variant>::check(c, around, &path)),+ }
            }

            /// Makes the module.
            pub fn init(&self, around: &$crate::variant::BuildContext, init: &mut $crate::init::Initializer) -> $Kind {
                match self {
                    $(Self::$Name(c) => $Kind::$Name(<$Type as $crate::variant::Variant>::init(c, around, init))),+
                }
            }
        }

        impl std::ops::Deref for $Kind {
            type Target = dyn $Trait;

            fn deref(&self) -> &Self::Target {
                match self { $(Self::$Name(variant) => variant),+ }
            }
        }
    };
}
