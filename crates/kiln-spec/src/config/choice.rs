//! A choice: one of several named alternatives, each with a configuration of its own.
//!
//! In a file it is a bare word, which means that alternative with all its defaults, or a table with exactly one key:
//! `schedule = "cosine"` or `schedule = { cosine = { floor = 0.1 } }`.
use serde::Deserializer;
use serde::de::value::Error;

use super::deserialize::EmptyTable;

/// What [`choice!`](crate::choice) implements: the names, and how each one's table is read.
pub trait Choice: Sized {
    /// The names as they stand in a file, in the order of declaration.
    const NAMES: &'static [&'static str];

    /// Other names that are accepted in a file, each with the name in [`NAMES`](Self::NAMES) that it stands for.
    const ALIASES: &'static [(&'static str, &'static str)] = &[];

    /// Reads the alternative `NAMES[index]` from the value that stands under its name.
    fn deserialize_variant<'de, D: Deserializer<'de>>(index: usize, inner: D) -> Result<Self, D::Error>;

    /// Whether `NAMES[index]` may stand as a bare word, that is, has no required key.
    fn allows_bare_word(index: usize) -> bool {
        Self::deserialize_variant(index, EmptyTable::<Error>::new()).is_ok()
    }
}

/// Makes a configuration enum of named alternatives: in a file a bare word, or a table with one name as its key.
///
/// `schedule = "cosine"` is that alternative with all its defaults; `schedule = { cosine = { floor = 0.1 } }` is more.
///
/// The enum gets `Clone`, `Debug`, `PartialEq`, `Serialize`, `Deserialize`, `JsonSchema`,
/// [`Choice`](crate::config::Choice), `NAMES` and `name()`. Each inner type needs the first six. The enum may have
/// further attributes (`#[derive(Eq, Hash)]`), an alternative only doc comments. Where alternatives have a
/// [`Card`](crate::Card), as in `"pre" => Pre(NoOptions) with Card::config_only("2002.04745")`, all must have one, and the enum
/// gets `CARDS` and `card()`. An alternative may have aliases, `"full" | "causal_lm" => Full(NoOptions)`: they are
/// accepted in files and in `--set`, and are never written.
///
/// ```
/// # use kiln_spec::config::NoOptions;
/// kiln_spec::choice! {
///     /// Where a block normalises.
///     pub enum Placement {
///         /// Before the part.
///         "pre" => Pre(NoOptions),
///         /// After the part.
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
            /// The cards of all alternatives, in the order of declaration.
            pub const CARDS: &'static [$crate::Card] = &[$($crate::Card { name: $name, ..$card }),+];

            /// The alternative's card.
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
            /// The names as they stand in a file, in the order of declaration.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name as it stands in a file.
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
                let wanted = Self::NAMES[index];
                $(if wanted == $name {
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
