//! Sites: the places of a model that adapters are attached to, and the adapters of each.

use super::AdapterSpec;
use std::{collections::BTreeMap, fmt};

/// Path of the token embedding, a site.
pub const EMBEDDING_SITE: &str = "embedding";

/// Path of the places before the first token of each document, a site.
pub const VIRTUAL_TOKENS_SITE: &str = "virtual_tokens";

/// Name of an adapter that was given none, as in `peft`. It is left out of the names of parameters.
pub const DEFAULT_ADAPTER: &str = "default";

/// Place of a model that an adapter changes, with its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// Linear map, `[in, out]`.
    Linear([usize; 2]),
    /// Token embedding, `[V, M]`.
    Embedding([usize; 2]),
    /// Linear maps of all experts, `[E, in, out]`.
    Stacked([usize; 3]),
    /// Virtual tokens before each document, like rows of the token embedding `[V, M]`.
    Tokens([usize; 2]),
}

/// Kind of a [`Site`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteKind {
    /// Linear map.
    Linear,
    /// Token embedding.
    Embedding,
    /// Linear maps of all experts.
    Stacked,
    /// Virtual tokens.
    Tokens,
}

impl fmt::Display for SiteKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Linear => "linear layer",
            Self::Embedding => "embedding",
            Self::Stacked => "stacked experts",
            Self::Tokens => "virtual tokens",
        })
    }
}

impl Site {
    /// Returns the kind.
    pub fn kind(&self) -> SiteKind {
        match self {
            Self::Linear(_) => SiteKind::Linear,
            Self::Embedding(_) => SiteKind::Embedding,
            Self::Stacked(_) => SiteKind::Stacked,
            Self::Tokens(_) => SiteKind::Tokens,
        }
    }

    /// Returns the number of maps, their inputs and their outputs: `[E, in, out]`, E = 1 unless stacked. An embedding is a map
    /// of V inputs.
    pub fn map_shape(&self) -> [usize; 3] {
        match *self {
            Self::Linear([from, to]) | Self::Embedding([from, to]) | Self::Tokens([from, to]) => [1, from, to],
            Self::Stacked(shape) => shape,
        }
    }
}

/// Adapters of a model by the paths of their sites, in the order in which their outputs are added.
pub type AdapterMap = BTreeMap<String, Vec<AttachedAdapter>>;

/// Adapter of one site, without its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachedAdapter {
    /// Name, unique at its site.
    pub name: String,
    /// Method and hyperparameters.
    pub spec: AdapterSpec,
    /// Factor w of what the adapter adds to the output of its site: base + Σ wᵢ · adapterᵢ.
    pub weight: f64,
    /// Whether it is applied. If not, the output is that without this adapter, to the bit; its parameters stay loaded.
    pub enabled: bool,
    /// Path of the site whose matrix A this adapter shares: one LoRA of a fused map (q, k and v; gate and up) is an adapter of
    /// each part with one A. Training adds the gradients of the copies and keeps them equal. `None`: A is its own.
    pub shared_a: Option<String>,
}

impl AttachedAdapter {
    /// Returns an enabled adapter of the default name and of weight 1.
    pub fn new(spec: AdapterSpec) -> Self {
        Self { name: DEFAULT_ADAPTER.into(), spec, weight: 1.0, enabled: true, shared_a: None }
    }

    /// Returns the same adapter under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Returns the factor of its output: 0 if it is switched off.
    pub fn effective_weight(&self) -> f64 {
        if self.enabled { self.weight } else { 0.0 }
    }

    /// Returns the end of the path of its parameters below their site: `lora`, or `lora.NAME` unless it has the default name.
    pub fn path(&self) -> String {
        match self.name.as_str() {
            DEFAULT_ADAPTER => self.spec.name().into(),
            name => format!("{}.{name}", self.spec.name()),
        }
    }
}
