//! Values of a template, with the types and the semantics of Python.

mod arithmetic;
mod attribute;
mod compare;
mod dict;
mod extent;
mod iterate;
mod json;
mod number;
mod repr;
mod slice;

use super::{
    error::{Error, Result},
    run::{Function, LoopState},
    syntax::ast::Literal,
};
pub(super) use arithmetic::{binary, unary};
pub(super) use attribute::{get_attribute, get_attribute_only, get_item};
pub(super) use compare::{compare, contains, equal, is_same};
pub(super) use dict::{Dict, KeySet, check_hashable};
pub(super) use extent::Extent;
pub(super) use iterate::{Iter, Range};
pub(super) use json::from_json;
pub(super) use number::{float_from_text, float_repr, float_to_int, int_from_text};
pub(super) use repr::{is_printable, repr, to_text};
pub(super) use slice::slice;
use std::{cell::RefCell, rc::Rc, sync::Arc};

/// A value. Everything but the items of an iterator and the attributes of a namespace is immutable, as in the sandbox
/// of the reference.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A variable or an attribute that does not exist, with the reason.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Arc<str>),
    /// Text that the filter `escape` made. Python has a type of its own for it, whose operators escape their operands.
    Markup(Arc<str>),
    List(Rc<Items>),
    Tuple(Rc<Items>),
    Dict(Rc<Dict>),
    /// `dict.keys()`, `dict.values()` or `dict.items()`.
    View(ViewKind, Rc<Dict>),
    Range(Range),
    /// An iterator, which gives its items once.
    Iter(Rc<Iter>),
    /// Index of a namespace of the rendering.
    Namespace(usize),
    /// Index of a macro of the rendering.
    Macro(usize),
    /// Index of a `cycler` of the rendering.
    Cycler(usize),
    /// Index of a `joiner` of the rendering.
    Joiner(usize),
    Loop(Rc<LoopState>),
    Function(Function),
    /// A method of a value, by its name.
    Method(Rc<(Value, Arc<str>)>),
}

/// The view of a dictionary that a method returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ViewKind {
    Keys,
    Values,
    Items,
}

/// Items of a list or a tuple.
#[derive(Debug)]
pub(super) struct Items {
    pub(super) items: Vec<Value>,
    /// Whether this is a group of `groupby`, a tuple whose items have the names `grouper` and `list`.
    pub(super) is_group: bool,
    extent: Extent,
}

impl Value {
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().into())
    }

    pub(super) fn undefined(reason: impl AsRef<str>) -> Self {
        Self::Undefined(reason.as_ref().into())
    }

    /// A list. Fails if it is nested too deep.
    pub(super) fn list(items: Vec<Value>) -> Result<Self> {
        Ok(Self::List(Rc::new(Items { extent: Extent::around(&items)?, items, is_group: false })))
    }

    /// A tuple. Fails if it is nested too deep.
    pub(super) fn tuple(items: Vec<Value>) -> Result<Self> {
        Ok(Self::Tuple(Rc::new(Items { extent: Extent::around(&items)?, items, is_group: false })))
    }

    /// A group of the filter `groupby`.
    pub(super) fn group(key: Value, members: Vec<Value>) -> Result<Self> {
        let items = vec![key, Self::list(members)?];
        Ok(Self::Tuple(Rc::new(Items { extent: Extent::around(&items)?, items, is_group: true })))
    }

    /// An iterator over items.
    pub(super) fn iter(items: Vec<Value>) -> Result<Self> {
        let extent = Extent::around(&items)?;
        Ok(Self::Iter(Rc::new(Iter { items: RefCell::new(items.into()), extent })))
    }

    pub(super) fn method(receiver: Value, name: Arc<str>) -> Result<Self> {
        Extent::around([&receiver])?;
        Ok(Self::Method(Rc::new((receiver, name))))
    }

    /// Whether a condition holds.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) | Self::Markup(text) => !text.is_empty(),
            Self::List(items) | Self::Tuple(items) => !items.items.is_empty(),
            Self::Dict(dict) | Self::View(_, dict) => !dict.is_empty(),
            Self::Range(range) => range.len() > 0,
            Self::Loop(state) => !state.items.is_empty(),
            _ => true,
        }
    }

    /// The text of a string; `None` for all other types.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer or a boolean as an integer.
    pub(super) fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    /// Python's name of the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::Markup(_) => "Markup",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::View(ViewKind::Keys, _) => "dict_keys",
            Self::View(ViewKind::Values, _) => "dict_values",
            Self::View(ViewKind::Items, _) => "dict_items",
            Self::Range(_) => "range",
            Self::Iter(_) => "generator",
            Self::Namespace(_) => "namespace",
            Self::Macro(_) => "macro",
            Self::Cycler(_) => "cycler",
            Self::Joiner(_) => "joiner",
            Self::Loop(_) => "loop",
            Self::Function(_) => "function",
            Self::Method(_) => "method",
        }
    }

    /// Fails for an undefined value, with the reason why it is undefined.
    pub(super) fn ensure_defined(&self) -> Result<()> {
        match self {
            Self::Undefined(reason) => Err(Error::new(&**reason)),
            _ => Ok(()),
        }
    }
}

impl From<&Literal> for Value {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::None => Self::None,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Float(value) => Self::Float(*value),
            Literal::Text(text) => Self::Text(text.clone()),
        }
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Int(value as i128)
    }
}
