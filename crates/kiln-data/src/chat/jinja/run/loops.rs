//! `{% for %}` and the variable `loop`.

use super::{Renderer, scope::Scope, statement::Flow};
use crate::chat::jinja::{
    arguments::Arguments,
    error::{Error, Result},
    syntax::ast::ForLoop,
    value::{Extent, Value, equal},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// The state of a loop, which is its variable `loop`.
#[derive(Debug)]
pub(in crate::chat::jinja) struct LoopState {
    pub(in crate::chat::jinja) items: Vec<Value>,
    pub(in crate::chat::jinja) extent: Extent,
    /// Index of the current item.
    index: Cell<usize>,
    /// Number of recursive loops around this one.
    recursion: usize,
    /// Index of the loop in the rendering if it is recursive.
    recursive: Option<usize>,
    /// The arguments of the last call of `changed`.
    last: RefCell<Option<Vec<Value>>>,
}

impl<'t> Renderer<'t> {
    /// Executes a loop.
    pub(super) fn for_loop(&self, node: &'t ForLoop, scope: &Scope, out: &mut String) -> Result<()> {
        let items = self.evaluate(&node.items, scope)?;
        let recursive = node.recursive.then(|| {
            self.recursive_loops.borrow_mut().push((node, scope.clone()));
            self.recursive_loops.borrow().len() - 1
        });
        self.iterate(node, &items, scope, (recursive, 0), out)
    }

    #[inline(never)]
    fn iterate(
        &self,
        node: &'t ForLoop,
        items: &Value,
        scope: &Scope,
        (recursive, recursion): (Option<usize>, usize),
        out: &mut String,
    ) -> Result<()> {
        let items = self.filtered_items(node, items, scope)?;
        let state = Rc::new(LoopState {
            extent: Extent::around(&items)?,
            items,
            index: Cell::new(0),
            recursion,
            recursive,
            last: RefCell::default(),
        });
        // As in the reference, `else` follows unless an iteration reached its end without `break` or `continue`.
        let mut has_completed = false;
        for (index, item) in state.items.iter().enumerate() {
            state.index.set(index);
            let inner = scope.inner();
            inner.set(&"loop".into(), Value::Loop(state.clone()));
            self.assign(&node.target, item.clone(), &inner)?;
            match self.execute(&node.body, &inner, out)? {
                Flow::Next => has_completed = true,
                Flow::Continue => {}
                Flow::Break => break,
            }
        }
        if has_completed { Ok(()) } else { self.execute(&node.otherwise, &scope.inner(), out).map(drop) }
    }

    /// The items for which the loop's condition holds.
    #[inline(never)]
    fn filtered_items(&self, node: &'t ForLoop, items: &Value, scope: &Scope) -> Result<Vec<Value>> {
        let mut items = self.items(items)?;
        if let Some(condition) = &node.condition {
            let mut kept = Vec::new();
            for item in items {
                let inner = scope.inner();
                self.assign(&node.target, item.clone(), &inner)?;
                if self.evaluate(condition, &inner)?.is_true() {
                    kept.push(item);
                }
            }
            items = kept;
        }
        Ok(items)
    }

    /// `loop(items)`: the text of a recursive loop over other items.
    #[inline(never)]
    pub(super) fn recurse(&self, state: &LoopState, arguments: Arguments) -> Result<Value> {
        let items = arguments.one("loop")?;
        let recursive = state.recursive.ok_or_else(|| Error::new("`loop` can only be called in a recursive loop"))?;
        let (node, scope) = self.recursive_loops.borrow()[recursive].clone();
        self.apart(|text| {
            self.deeper(node.items.line, || {
                self.iterate(node, &items, &scope, (Some(recursive), state.recursion + 1), text)
            })
        })
    }
}

impl LoopState {
    /// An attribute of `loop`; `None` if there is none of this name.
    pub(super) fn attribute(self: &Rc<Self>, name: &str) -> Result<Option<Value>> {
        let (index, length) = (self.index.get(), self.items.len());
        Ok(Some(match name {
            "index" => (index + 1).into(),
            "index0" => index.into(),
            "revindex" => (length - index).into(),
            "revindex0" => (length - index - 1).into(),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(index + 1 == length),
            "length" => length.into(),
            "depth" => (self.recursion + 1).into(),
            "depth0" => self.recursion.into(),
            "previtem" if index == 0 => Value::undefined("there is no previous item"),
            "previtem" => self.items[index - 1].clone(),
            "nextitem" if index + 1 == length => Value::undefined("there is no next item"),
            "nextitem" => self.items[index + 1].clone(),
            "cycle" | "changed" => Value::method(Value::Loop(self.clone()), name.into())?,
            _ => return Ok(None),
        }))
    }

    /// `loop.cycle(…)` or `loop.changed(…)`.
    pub(super) fn call(&self, name: &str, arguments: Arguments) -> Result<Value> {
        let values = arguments.positional;
        if name == "cycle" {
            let index = self.index.get().checked_rem(values.len());
            return index.map(|index| values[index].clone()).ok_or_else(|| Error::new("no items for cycling given"));
        }
        let mut last = self.last.borrow_mut();
        let is_same =
            |last: &Vec<Value>| last.len() == values.len() && last.iter().zip(&values).all(|(a, b)| equal(a, b));
        let has_changed = !last.as_ref().is_some_and(is_same);
        *last = Some(values);
        Ok(Value::Bool(has_changed))
    }
}
