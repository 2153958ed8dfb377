//! Registries of parts: the trait of a variant, and the macro that declares a family of variants.
//!
//! A family (norms, positions, parts, …) is a list of variants. For each list line `"name" => Name(Module)` the macro
//! [`variants!`](crate::variants!) generates
//!
//! * a variant of the configuration enum, read and written under `name`: `norm = { rms = { eps = 1e-6 } }`, or the bare
//!   name for defaults;
//! * a variant of the module enum, which derefs to the family's trait object;
//! * `card`, `resolve`, `check` and `init` on the configuration, and `CARDS` for listings.
//!
//! A model is built in three steps: `resolve` writes defaults that depend on the model into the configuration, `check`
//! rejects invalid configurations, `init` creates the parameters.

use crate::init::Initializer;
use burn::module::Module;
use kiln_spec::{Direction, ValidationError};

pub use kiln_spec::card::{Card, Causality, KernelForm};

/// Model properties that parts read when they are resolved, checked and built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BuildContext<'a> {
    /// Width M of the residual stream.
    pub hidden: usize,
    /// Vocabulary size V.
    pub vocab: usize,
    /// Query heads of the stack's first attention; 0 if it has none.
    pub heads: usize,
    /// Dropout rate of the stack, 0 to 1.
    pub dropout: f64,
    /// Position encoding of the stack.
    pub position: &'a crate::position::PositionConfig,
    /// Default visibility of the stack.
    pub direction: Direction,
}

/// Member of a family: a module with its configuration and card.
pub trait Variant: Module + Sized {
    /// Configuration: plain data that a recipe holds.
    type Config;

    /// Card: name, paper, cost and limits, for listings, checks and tests.
    const CARD: Card;

    /// Writes defaults that depend on the model into the configuration (an intermediate size of 4 × hidden), so that a saved
    /// configuration is complete. Resolving twice changes nothing.
    fn resolve(_config: &mut Self::Config, _build: &BuildContext) {}

    /// Checks the configuration. `path` is its path in the recipe, such as `model.blocks[0].sublayers[1].parts[0].mlp`.
    ///
    /// # Errors
    /// The first key with an invalid value: its path, the reason with the value found, and a suggestion if there is one.
    fn check(_config: &Self::Config, _build: &BuildContext, _path: &str) -> Result<(), ValidationError> {
        Ok(())
    }

    /// Builds the module, with parameters under the path of `init`. The configuration must have passed `check`.
    fn init(config: &Self::Config, build: &BuildContext, init: &mut Initializer) -> Self;
}

/// Returns the error of the key `key` below `path`.
pub(crate) fn invalid(path: &str, key: &str, reason: impl Into<String>) -> Result<(), ValidationError> {
    Err(ValidationError::new(format!("{path}.{key}"), reason))
}

/// Whether a value is the default of its type. Options with such a value are left out of a written configuration.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether a factor is 1, which changes nothing. Such a factor is left out of a written configuration.
pub(crate) fn is_one(factor: &f64) -> bool {
    *factor == 1.0
}

/// Checks an optional factor at `path`: finite and not 0.
pub(crate) fn check_factor(factor: f64, path: String) -> Result<(), ValidationError> {
    if factor != 0.0 && factor.is_finite() {
        return Ok(());
    }
    Err(ValidationError::new(path, format!("expected a finite number other than 0, found {factor}")))
}

/// Checks an optional limit at `path`: finite and above 0.
pub(crate) fn check_limit(limit: Option<f64>, path: String) -> Result<(), ValidationError> {
    match limit {
        Some(limit) if !(limit > 0.0 && limit.is_finite()) => {
            let reason = format!("expected a finite number above 0, found {limit}");
            Err(ValidationError::new(path, reason).with_suggestion("leave it out"))
        }
        _ => Ok(()),
    }
}

/// Maximum width of a matrix, 1,048,576. A larger number in a configuration is treated as a mistake: a matrix of that size would
/// not fit into memory.
pub const MAX_WIDTH: usize = 1 << 20;

/// Cost of a part, besides the memory of its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations per token, forward only: a multiplication and an addition count as two. Attention counts the
    /// keys that the last token of the sequence sees.
    pub flops: f64,
    /// Bytes of decode state per token in f32, averaged over the sequence.
    pub state_bytes: f64,
}

/// Declares a family of variants: configuration enum, module enum and their dispatch.
///
/// ```text
/// variants! {
///     /// Doc comment of the family; `recipe explain` prints it.
///     Norm, NormConfig: dyn Normalization {
///         /// Doc comment of the variant; `recipe explain` prints it.
///         "rms" => Rms(RmsNorm),
///     }
/// }
/// ```
///
/// `Norm` is the module enum. Parameter paths leave it out: a variant's parameters are named as if the enum were the variant
/// (`attention_norm.weight`). It derefs to `dyn Normalization`. `NormConfig` is the
/// configuration enum, made by `kiln_spec::choice!`, with these methods:
///
/// * `card()`: the card of the chosen variant;
/// * `resolve(&mut self, build)`, `check(&self, build, path)`, `init(&self, build, init) -> Norm`: those of [`Variant`];
///   `check` appends the variant's name to the path.
///
/// A family whose configurations are asked for more than that names a second trait after the first, as in
/// `Position, PositionConfig: dyn PositionEncoding, config: dyn PositionNeeds`. The configuration enum derefs to it.
///
/// `Norm::CARDS` lists the cards of all variants in the order of the list. Names in quotes are those in recipes and
/// on cards; they must not change once released.
#[macro_export]
macro_rules! variants {
    (@config $Config:ident [] $($Name:ident)+) => {};
    (@config $Config:ident [$Needs:path] $($Name:ident)+) => {
        impl std::ops::Deref for $Config {
            type Target = dyn $Needs;

            fn deref(&self) -> &Self::Target {
                match self { $(Self::$Name(config) => config),+ }
            }
        }

        impl std::ops::DerefMut for $Config {
            fn deref_mut(&mut self) -> &mut Self::Target {
                match self { $(Self::$Name(config) => config),+ }
            }
        }
    };
    ($(#[doc = $about:literal])* $Kind:ident, $Config:ident: dyn $Trait:path $(, config: dyn $Needs:path)? {
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
            /// Cards of all variants, in the order of the list.
            pub const CARDS: &'static [$crate::variant::Card] = &[$(<$Type as $crate::variant::Variant>::CARD),+];
        }

        impl $Config {
            /// Returns the card of the chosen variant.
            pub fn card(&self) -> &'static $crate::variant::Card {
                match self { $(Self::$Name(_) => &<$Type as $crate::variant::Variant>::CARD),+ }
            }

            /// Writes defaults that depend on the model into the configuration.
            pub fn resolve(&mut self, build: &$crate::variant::BuildContext) {
                match self { $(Self::$Name(config) => <$Type as $crate::variant::Variant>::resolve(config, build)),+ }
            }

            /// Checks the configuration at `path`.
            ///
            /// # Errors
            /// The first key with an invalid value.
            pub fn check(
                &self, build: &$crate::variant::BuildContext, path: &str,
            ) -> Result<(), kiln_spec::ValidationError> {
                let path = format!("{path}.{}", self.name());
                match self {
                    $(Self::$Name(config) => <$Type as $crate::variant::Variant>::check(config, build, &path)),+
                }
            }

            /// Builds the module.
            pub fn init(&self, build: &$crate::variant::BuildContext, init: &mut $crate::init::Initializer) -> $Kind {
                match self {
                    $(Self::$Name(config) => {
                        $Kind::$Name(<$Type as $crate::variant::Variant>::init(config, build, init))
                    }),+
                }
            }
        }

        $crate::variants!(@config $Config [$($Needs)?] $($Name)+);

        impl std::ops::Deref for $Kind {
            type Target = dyn $Trait;

            fn deref(&self) -> &Self::Target {
                match self { $(Self::$Name(variant) => variant),+ }
            }
        }
    };
}
