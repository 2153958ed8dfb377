//! Depth and weight of values, which limit recursion and repetition.
//!
//! Dropping, printing and comparing values are recursive. A value can hold another one several times, so that few
//! assignments make a value of 2¹⁰⁰ parts (`[x, x]`, again and again) that no program could print.

use super::Value;
use crate::chat::jinja::error::{Error, Result};

/// Maximum number of levels of containers.
const MAX_DEPTH: usize = 160;
/// Maximum number of parts of a value.
const MAX_WEIGHT: usize = 1 << 24;

/// Depth and weight of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Extent {
    /// Number of levels of containers.
    depth: usize,
    /// Number of parts at all levels: a part for each container and 64 bytes of text, and those that it holds.
    pub(in super::super) weight: usize,
}

impl Extent {
    /// The extent of a container of these items. Fails above the limits.
    pub(in super::super) fn around<'a>(items: impl IntoIterator<Item = &'a Value>) -> Result<Self> {
        let mut extent = Self { depth: 1, weight: 1 };
        for item in items {
            let inner = item.extent();
            extent.depth = extent.depth.max(inner.depth + 1);
            extent.weight = extent.weight.saturating_add(inner.weight);
        }
        if extent.depth > MAX_DEPTH {
            return Err(Error::limit(format!("a value is more than {MAX_DEPTH} levels deep")));
        }
        if extent.weight > MAX_WEIGHT {
            return Err(Error::limit(format!("a value has more than {MAX_WEIGHT} parts")));
        }
        Ok(extent)
    }
}

impl Value {
    /// Depth and weight of the value.
    pub(in super::super) fn extent(&self) -> Extent {
        match self {
            Self::List(items) | Self::Tuple(items) => items.extent,
            Self::Dict(dict) | Self::View(_, dict) => dict.extent(),
            Self::Iter(iter) => iter.extent,
            Self::Loop(state) => state.extent,
            Self::Method(method) => {
                let receiver = method.0.extent();
                Extent { depth: receiver.depth + 1, ..receiver }
            }
            Self::Text(text) | Self::Markup(text) => Extent { depth: 0, weight: 1 + text.len() / 64 },
            Self::Range(range) => Extent { depth: 0, weight: 1 + range.len() },
            _ => Extent { depth: 0, weight: 1 },
        }
    }
}
