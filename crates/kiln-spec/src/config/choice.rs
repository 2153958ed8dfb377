//! Choices: configuration enums of named alternatives with options.
//!
//! In TOML, a choice is a bare word, which selects the alternative with default options, or a table with exactly one key:
//! `schedule = "cosine"` or `schedule = { cosine = { min_lr_ratio = 0.1 } }`.
use serde::Deserializer;
use serde::de::value::Error;

use super::deserialize::EmptyTable;

/// Names and deserialization of a choice. Implemented by [`choice!`](crate::choice).
pub trait Choice: Sized {
    /// Names of the alternatives in declaration order.
    const NAMES: &'static [&'static str];

    /// Aliases that are accepted in input, each with its canonical name in [`NAMES`](Self::NAMES).
    const ALIASES: &'static [(&'static str, &'static str)] = &[];

    /// Deserializes the alternative `NAMES[index]` from its options.
    ///
    /// # Errors
    /// Errors of the deserializer.
    fn deserialize_variant<'de, D: Deserializer<'de>>(index: usize, inner: D) -> Result<Self, D::Error>;

    /// Returns whether `NAMES[index]` can be written as a bare word, that is, has no required options.
    fn allows_bare_word(index: usize) -> bool {
        Self::deserialize_variant(index, EmptyTable::<Error>::new()).is_ok()
    }
}

/// Defines a configuration enum of named alternatives: in TOML a bare word, or a table with the name as its only key.
///
/// `schedule = "cosine"` selects the alternative with default options; `schedule = { cosine = { warmup = 100 } }` sets some.
///
/// * The enum implements `Clone`, `Debug`, `PartialEq`, `Serialize`, `Deserialize`, `JsonSchema` and
///   [`Choice`](crate::config::Choice), and has the associated items `NAMES` and `name()`.
/// * The options of each alternative are a type that implements the first six traits; `NoOptions` for none.
/// * The enum may have further attributes, such as `#[derive(Eq, Hash)]`. Alternatives may only have doc comments, which
///   are the descriptions in the schema.
/// * Aliases, as in `"full" | "causal_lm" => Full(NoOptions)`, are accepted in files and in `--set` and are never written.
/// * Alternatives may have a [`Card`](crate::Card), as in `"pre" => Pre(NoOptions) with Card::config_only("2002.04745")`.
///   Then all must have one, and the enum also has `CARDS` and `card()`.
///
/// ```
/// # use kiln_spec::config::NoOptions;
/// kiln_spec::choice! {
///     /// Position of the norm.
///     pub enum Placement {
///         /// Before the sublayer.
///         "pre" => Pre(NoOptions),
///         /// After the sublayer.
///         "post" | "after" => Post(NoOptions),
///     }
/// }
/// assert_eq!(Placement::NAMES, ["pre", "post"]);
/// let placement: Placement = serde_json::from_str("\"after\"").unwrap();
/// assert_eq!(serde_json::to_string(&placement).unwrap(), "\"post\"");
/// ```
#[macro_export]
macro_rules! choice {
    (@doc doc = $doc:expr) => { $doc };
    (@doc $($other:tt)*) => { "" };
    (@cards $Choice:ident $($name:literal $Variant:ident [])+) => {};
    (@cards $Choice:ident $($name:literal $Variant:ident [$card:expr])+) => {
        impl $Choice {
            /// Cards of all alternatives in declaration order.
            pub const CARDS: &'static [$crate::Card] = &[$($crate::Card { name: $name, ..$card }),+];

            /// Returns the card of the alternative.
            pub fn card(&self) -> &'static $crate::Card {
                match self { $(Self::$Variant(_) => const { &$crate::Card { name: $name, ..$card } }),+ }
            }
        }
    };
    ($(#[$($about:tt)*])* $vis:vis enum $Choice:ident {
        $($(#[doc = $doc:expr])* $name:literal $(| $alias:literal)* => $Variant:ident($Inner:ty) $(with $card:expr)?),+ $(,)?
    }) => {
        $crate::choice!(@cards $Choice $($name $Variant [$($card)?])+);

        $(#[$($about)*])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $Choice {
            $(#[doc = ::core::concat!("`", $name, "`")] #[doc = ""] $(#[doc = $doc])* $Variant($Inner)),+
        }

        #[allow(dead_code, reason = "a choice that is private to a crate need not use both")]
        impl $Choice {
            /// Names of the alternatives in declaration order.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Returns the name of the alternative.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$Variant(_) => $name),+ }
            }
        }

        impl $crate::config::Choice for $Choice {
            const NAMES: &'static [&'static str] = Self::NAMES;
            const ALIASES: &'static [(&'static str, &'static str)] = &[$($(($alias, $name),)*)+];

            fn deserialize_variant<'de, D: $crate::config::private::serde::Deserializer<'de>>(
                index: usize,
                inner: D,
            ) -> ::core::result::Result<Self, D::Error> {
                let name = Self::NAMES[index];
                $(if name == $name {
                    let inner = <$Inner as $crate::config::private::serde::Deserialize<'de>>::deserialize(inner);
                    return inner.map(Self::$Variant);
                })+
                ::core::unreachable!("NAMES holds the names above")
            }
        }

        impl<'de> $crate::config::private::serde::Deserialize<'de> for $Choice {
            fn deserialize<D: $crate::config::private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                $crate::config::private::deserialize_choice(deserializer)
            }
        }

        impl $crate::config::private::serde::Serialize for $Choice {
            fn serialize<S: $crate::config::private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                match self {
                    $(Self::$Variant(inner) => {
                        let choice = ::core::stringify!($Choice);
                        $crate::config::private::serialize_choice::<Self, _, S>(choice, $name, inner, serializer)
                    })+
                }
            }
        }

        impl $crate::config::private::schemars::JsonSchema for $Choice {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed(::core::stringify!($Choice))
            }

            fn schema_id() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed(::core::concat!(::core::module_path!(), "::", ::core::stringify!($Choice)))
            }

            fn json_schema(
                generator: &mut $crate::config::private::schemars::SchemaGenerator,
            ) -> $crate::config::private::schemars::Schema {
                let alternatives = [$((&[$($doc),*] as &[&str], generator.subschema_for::<$Inner>())),+];
                $crate::config::private::choice_schema::<Self>(&[$($crate::choice!(@doc $($about)*)),*], alternatives)
            }
        }
    };
}
