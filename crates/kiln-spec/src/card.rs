//! What is known of a variant: listings, the docs' tables, legality and the laws are made from it.

/// In which directions a variant can mix tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Causality {
    /// It sees what the batch's marks let it see.
    Any,
    /// It only works from left to right.
    CausalOnly,
    /// It always sees everything.
    BidirectionalOnly,
}

impl Causality {
    /// The word of listings: `any`, `only` (causal only), `never`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::CausalOnly => "only",
            Self::BidirectionalOnly => "never",
        }
    }
}

/// The name that stands for all laws in an exemption.
pub const ALL_LAWS: &str = "every law";

/// A variant's card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its name in a configuration.
    pub name: &'static str,
    /// Its role in parameter names: `attention`, `feed_forward`; empty where the place says it.
    pub role: &'static str,
    /// Where it comes from: an arXiv id, or a title.
    pub paper: &'static str,
    /// Directions it can mix in.
    pub causality: Causality,
    /// State kept per sequence while generating, with T tokens so far.
    pub state: &'static str,
    /// Time for T tokens.
    pub time: &'static str,
    /// What it can't be combined with; empty if nothing.
    pub incompatible_with: &'static str,
    /// It in a small model, as TOML: what the laws try and pictures show. Empty: its bare name.
    pub example: &'static str,
    /// Laws that it can't keep, and why: `("chunked", "it reads the whole sequence at once")`; [`EVERY_LAW`] for one
    /// that no small decoder can hold.
    pub exemptions: &'static [(&'static str, &'static str)],
}

impl Card {
    /// A card of something that keeps no state, takes time in proportion to the tokens and refuses nothing.
    pub const fn new(name: &'static str, paper: &'static str) -> Self {
        let (causality, exempt): (_, &[_]) = (Causality::Any, &[]);
        Self {
            name,
            role: "",
            paper,
            causality,
            state: "none",
            time: "T",
            incompatible_with: "",
            example: "",
            exemptions: exempt,
        }
    }

    /// A card of data, which costs nothing by itself; `choice!` fills in the name.
    pub const fn config_only(paper: &'static str) -> Self {
        Self { time: "0", ..Self::new("", paper) }
    }

    /// It as a TOML value: its example, or its bare name.
    pub fn example_toml(&self) -> String {
        if self.example.is_empty() { format!("\"{}\"", self.name) } else { self.example.to_owned() }
    }

    /// Why it need not keep a law, if it needn't.
    pub fn exemption(&self, law: &str) -> Option<&'static str> {
        self.exemptions.iter().find(|(name, _)| [law, ALL_LAWS].contains(name)).map(|(_, reason)| *reason)
    }
}

/// A family of variants: the alternatives of one key.
#[derive(Clone, Copy, Debug)]
pub struct VariantFamily {
    /// Its name: the key that it stands at, or nearly.
    pub name: &'static str,
    /// What it decides, in a few words.
    pub description: &'static str,
    /// Its members, in the order of the list.
    pub cards: &'static [Card],
}
