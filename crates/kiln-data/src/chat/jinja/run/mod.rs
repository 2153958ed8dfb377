//! The interpreter: evaluates expressions, executes statements, and counts what they cost.

mod calls;
mod expression;
mod functions;
mod loops;
mod macros;
mod operation;
mod scope;
mod statement;

use super::{
    error::{Error, Result},
    syntax::ast::{ForLoop, Macro, Name, Statement},
    value::Value,
};
use crate::chat::TemplateClock;
pub(super) use functions::Function;
pub(super) use loops::LoopState;
use scope::Scope;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    ops::Range,
};

/// Maximum depth of nested evaluations: of expressions, blocks and calls of macros together. Each takes frames of the
/// stack, which stay small because the functions of this module are not inlined into each other.
const MAX_DEPTH: usize = 256;
/// Maximum length of the rendered text, in bytes.
const MAX_OUTPUT: usize = 1 << 28;

/// A rendering of a template.
pub(super) struct Renderer<'t> {
    /// What is left of the limit of time and memory: 1 for each instruction, 64 bytes or item.
    fuel: Cell<u64>,
    depth: Cell<usize>,
    now: Option<TemplateClock>,
    root: Scope,
    /// Values that may change or contain each other. They live as long as the rendering.
    namespaces: RefCell<Vec<HashMap<Name, Value>>>,
    macros: RefCell<Vec<(&'t Macro, Scope)>>,
    recursive_loops: RefCell<Vec<(&'t ForLoop, Scope)>>,
    cyclers: RefCell<Vec<(Vec<Value>, usize)>>,
    joiners: RefCell<Vec<(Value, bool)>>,
    /// Number of macros and captured blocks around the statement that is executed.
    captures: Cell<usize>,
    /// Bytes of the rendered text within `{% generation %}`; `None` if one is within a macro or a captured block.
    generation_spans: RefCell<Option<Vec<Range<usize>>>>,
}

impl<'t> Renderer<'t> {
    pub(super) fn new(
        variables: impl IntoIterator<Item = (Name, Value)>,
        now: Option<TemplateClock>,
        fuel: u64,
    ) -> Self {
        Self {
            fuel: Cell::new(fuel),
            depth: Cell::new(0),
            now,
            root: Scope::root(variables),
            namespaces: RefCell::default(),
            macros: RefCell::default(),
            recursive_loops: RefCell::default(),
            cyclers: RefCell::default(),
            joiners: RefCell::default(),
            captures: Cell::new(0),
            generation_spans: RefCell::new(Some(Vec::new())),
        }
    }

    /// The text of a template, and the spans of it within `{% generation %}`, if their places are known.
    pub(super) fn render(self, body: &'t [Statement]) -> Result<(String, Option<Vec<Range<usize>>>)> {
        let mut out = String::new();
        self.execute(body, &self.root, &mut out)?;
        Ok((out, self.generation_spans.into_inner()))
    }

    /// Takes fuel, or fails if there is not enough.
    pub(super) fn charge(&self, amount: usize) -> Result<()> {
        match self.fuel.get().checked_sub(amount as u64) {
            Some(left) => {
                self.fuel.set(left);
                Ok(())
            }
            None => {
                Err(Error::limit("the template exceeds its limit of time or memory (an endless or doubling loop?)"))
            }
        }
    }

    /// The items that a loop over a value sees, after the fuel for them is paid.
    pub(super) fn items(&self, value: &Value) -> Result<Vec<Value>> {
        self.charge(value.length().unwrap_or_default())?;
        value.items()
    }

    /// Evaluates something one level deeper.
    fn deeper<T>(&self, line: usize, evaluate: impl FnOnce() -> Result<T>) -> Result<T> {
        self.charge(1).map_err(|error| error.at(line))?;
        if self.depth.get() >= MAX_DEPTH {
            return Err(Error::limit(format!("calls and expressions are nested more than {MAX_DEPTH} deep")).at(line));
        }
        self.depth.set(self.depth.get() + 1);
        let result = evaluate().map_err(|error| error.at(line));
        self.depth.set(self.depth.get() - 1);
        result
    }

    /// Appends rendered text.
    fn write(&self, text: &str, out: &mut String) -> Result<()> {
        self.charge(1 + text.len() / 64)?;
        if out.len() + text.len() > MAX_OUTPUT {
            return Err(Error::limit(format!("the rendered text is longer than {MAX_OUTPUT} bytes")));
        }
        out.push_str(text);
        Ok(())
    }
}
