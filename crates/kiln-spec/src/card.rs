//! Variant cards: metadata of each variant of each family of layers, norms, optimizers, objectives and so on.
//!
//! `kiln variants`, the generated tables in `docs/`, validation and the property tests (`kiln-laws`) read the cards. A card
//! is attached to an alternative of a [`choice!`](crate::choice) with `with`.

/// Attention directions that a variant supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Causality {
    /// Any direction: the layout of the batch decides.
    Any,
    /// Causal only, such as recurrent layers.
    CausalOnly,
    /// Bidirectional only: the variant always mixes all tokens of a document.
    BidirectionalOnly,
}

impl Causality {
    /// Returns the word for the column "causal" of listings: `any`, `only` (causal only), `never`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::CausalOnly => "only",
            Self::BidirectionalOnly => "never",
        }
    }
}

/// Kernels that compute a score function or a bias of attention scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelForm {
    /// It works within a tile of scores: the fused kernel computes it, in memory linear in the tokens.
    InTile,
    /// It needs all scores at once: only the reference kernel computes it, in memory T × T.
    Reference,
}

impl KernelForm {
    /// Returns the words for the column "kernel" of listings: `in tile`, `reference`.
    pub fn label(self) -> &'static str {
        match self {
            Self::InTile => "in tile",
            Self::Reference => "reference",
        }
    }
}

/// Name that stands for all laws in [`Card::exemptions`].
pub const ALL_LAWS: &str = "every law";

/// Exemption of what only the reference kernel computes from the law `exact`.
pub const REFERENCE_IS_NOT_EXACT: (&str, &str) =
    ("exact", "only the reference kernel computes it, whose sums depend on the other keys of the call");

/// Metadata of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Name in the configuration, such as `window`.
    pub name: &'static str,
    /// Component of parameter names, such as `attention` or `feed_forward`; empty if the variant adds none.
    pub role: &'static str,
    /// Source: arXiv ids, or a title.
    pub paper: &'static str,
    /// Supported attention directions.
    pub causality: Causality,
    /// Size of the state per sequence during generation, for T tokens so far, such as `T` for a full KV cache.
    pub state: &'static str,
    /// Time for T tokens, such as `T²`.
    pub time: &'static str,
    /// Kernels that compute a score function or a score bias; `None` for variants that act elsewhere.
    pub kernel: Option<KernelForm>,
    /// Other settings that the variant excludes; empty if none.
    pub incompatible_with: &'static str,
    /// Small configuration as a TOML value, for property tests and documentation. Empty: the bare name.
    pub example: &'static str,
    /// Laws (property tests) that do not apply, each with the reason: `("chunked", "it reads the whole sequence at once")`.
    /// [`ALL_LAWS`] for a variant that a small decoder-only model cannot contain.
    pub exemptions: &'static [(&'static str, &'static str)],
}

impl Card {
    /// Creates a card with defaults: no state, time linear in the tokens, any direction, no exclusions, no exemptions.
    pub const fn new(name: &'static str, paper: &'static str) -> Self {
        Self {
            name,
            role: "",
            paper,
            causality: Causality::Any,
            state: "none",
            time: "T",
            kernel: None,
            incompatible_with: "",
            example: "",
            exemptions: &[],
        }
    }

    /// Creates a card for a variant without computation of its own: time 0. [`choice!`](crate::choice) fills in the
    /// name.
    pub const fn config_only(paper: &'static str) -> Self {
        Self { time: "0", ..Self::new("", paper) }
    }

    /// Returns the variant as a TOML value: its example, or its bare name in quotes.
    pub fn example_toml(&self) -> String {
        if self.example.is_empty() { format!("\"{}\"", self.name) } else { self.example.to_owned() }
    }

    /// Returns the reason why a law does not apply; `None` if it applies.
    pub fn exemption(&self, law: &str) -> Option<&'static str> {
        self.exemptions.iter().find(|(name, _)| [law, ALL_LAWS].contains(name)).map(|(_, reason)| *reason)
    }
}

/// Family of variants: the alternatives of one configuration key.
#[derive(Clone, Copy, Debug)]
pub struct VariantFamily {
    /// Name of the family, mostly the configuration key, such as `pattern`.
    pub name: &'static str,
    /// Short description.
    pub description: &'static str,
    /// Cards of the variants in declaration order.
    pub cards: &'static [Card],
}
