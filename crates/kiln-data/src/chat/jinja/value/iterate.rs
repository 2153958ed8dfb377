//! Ranges, iterators, and iteration over values.

use super::{
    super::error::{Error, Result},
    Extent, Value, ViewKind,
};
use std::{cell::RefCell, collections::VecDeque};

/// An iterator, which gives its items once.
#[derive(Debug)]
pub(in super::super) struct Iter {
    pub(super) items: RefCell<VecDeque<Value>>,
    pub(super) extent: Extent,
}

impl Iter {
    /// The next item.
    pub(in super::super) fn next(&self) -> Option<Value> {
        self.items.borrow_mut().pop_front()
    }

    /// All items that are left.
    fn take(&self) -> Vec<Value> {
        self.items.borrow_mut().drain(..).collect()
    }
}

/// `range(start, stop, step)`; the step is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Range {
    pub(in super::super) start: i128,
    pub(in super::super) stop: i128,
    pub(in super::super) step: i128,
}

impl Range {
    /// Number of items.
    pub(in super::super) fn len(&self) -> usize {
        let (distance, step) = if self.step > 0 {
            (self.stop.saturating_sub(self.start), self.step)
        } else {
            (self.start.saturating_sub(self.stop), self.step.saturating_neg())
        };
        if distance <= 0 { 0 } else { usize::try_from((distance - 1) / step + 1).unwrap_or(usize::MAX) }
    }

    /// The item at an index below [`len`](Self::len).
    pub(in super::super) fn get(&self, index: usize) -> Value {
        Value::Int(self.start + index as i128 * self.step)
    }
}

impl Value {
    /// The items that a loop over the value sees; an iterator gives up its items.
    ///
    /// Fails for values that are not iterable.
    pub(in super::super) fn items(&self) -> Result<Vec<Value>> {
        Ok(match self {
            Self::Undefined(_) => Vec::new(),
            Self::Text(text) => text.chars().map(|c| Self::text(c.encode_utf8(&mut [0; 4]))).collect(),
            Self::Markup(_) => return Err(Error::unsupported("a loop over escaped text")),
            Self::List(items) | Self::Tuple(items) => items.items.clone(),
            Self::Dict(dict) | Self::View(ViewKind::Keys, dict) => dict.iter().map(|(key, _)| key.clone()).collect(),
            Self::View(ViewKind::Values, dict) => dict.iter().map(|(_, value)| value.clone()).collect(),
            Self::View(ViewKind::Items, dict) => {
                let pairs = dict.iter().map(|(key, value)| Self::tuple(vec![key.clone(), value.clone()]));
                pairs.collect::<Result<_>>()?
            }
            Self::Range(range) => (0..range.len()).map(|index| range.get(index)).collect(),
            Self::Iter(iter) => iter.take(),
            Self::Loop(_) => return Err(Error::unsupported("a loop over `loop`")),
            _ => return Err(Error::new(format!("'{}' object is not iterable", self.type_name()))),
        })
    }

    /// Whether a loop over the value is possible.
    pub(in super::super) fn is_iterable(&self) -> bool {
        matches!(
            self,
            Self::Undefined(_)
                | Self::Text(_)
                | Self::Markup(_)
                | Self::List(_)
                | Self::Tuple(_)
                | Self::Dict(_)
                | Self::View(..)
                | Self::Range(_)
                | Self::Iter(_)
                | Self::Loop(_)
        )
    }

    /// Number of items; `None` if the type has no length.
    pub(in super::super) fn length(&self) -> Option<usize> {
        match self {
            Self::Undefined(_) => Some(0),
            Self::Text(text) | Self::Markup(text) => Some(text.chars().count()),
            Self::List(items) | Self::Tuple(items) => Some(items.items.len()),
            Self::Dict(dict) | Self::View(_, dict) => Some(dict.len()),
            Self::Range(range) => Some(range.len()),
            Self::Loop(state) => Some(state.items.len()),
            _ => None,
        }
    }

    /// Number of bytes or items that a copy of the value takes, for the fuel.
    pub(in super::super) fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Markup(text) => text.len() / 64,
            Self::Iter(iter) => iter.items.borrow().len(),
            other => other.length().unwrap_or(1),
        }
    }
}
