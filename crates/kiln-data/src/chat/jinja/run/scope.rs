//! Variables by name, in nested scopes.

use crate::chat::jinja::{syntax::ast::Name, value::Value};
use std::{cell::RefCell, collections::HashMap, rc::Rc};

/// The variables of a block, and those of the blocks around it.
#[derive(Clone, Debug)]
pub(super) struct Scope(Rc<Frame>);

#[derive(Debug, Default)]
struct Frame {
    variables: RefCell<HashMap<Name, Value>>,
    parent: Option<Scope>,
}

impl Scope {
    /// The outermost scope of a rendering.
    pub(super) fn root(variables: impl IntoIterator<Item = (Name, Value)>) -> Self {
        Self(Rc::new(Frame { variables: RefCell::new(variables.into_iter().collect()), parent: None }))
    }

    /// A scope within this one, without variables.
    pub(super) fn inner(&self) -> Self {
        Self(Rc::new(Frame { variables: RefCell::default(), parent: Some(self.clone()) }))
    }

    pub(super) fn get(&self, name: &str) -> Option<Value> {
        let mut scope = self;
        loop {
            if let Some(value) = scope.0.variables.borrow().get(name) {
                return Some(value.clone());
            }
            scope = scope.0.parent.as_ref()?;
        }
    }

    /// Assigns a variable of this scope.
    pub(super) fn set(&self, name: &Name, value: Value) {
        self.0.variables.borrow_mut().insert(name.clone(), value);
    }
}
