//! Execution of statements.

use super::{Renderer, functions::check_attribute_name, scope::Scope};
use crate::chat::jinja::{
    error::{Error, Result},
    syntax::ast::{Body, Expression, Node, Statement, Target},
    value::Value,
};

/// How a statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

impl<'t> Renderer<'t> {
    /// Executes statements, up to a `break` or a `continue`.
    pub(super) fn execute(&self, body: &'t [Statement], scope: &Scope, out: &mut String) -> Result<Flow> {
        for statement in body {
            let flow = self.statement(statement, scope, out)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    #[inline(never)]
    fn statement(&self, statement: &'t Statement, scope: &Scope, out: &mut String) -> Result<Flow> {
        match statement {
            Statement::Text(text) => self.write(text, out)?,
            Statement::Print(node) => {
                let value = self.evaluate(node, scope)?;
                let text = self.text_of(&value).map_err(|error| error.at(node.line))?;
                self.write(&text, out).map_err(|error| error.at(node.line))?;
            }
            Statement::If { branches, otherwise } => return self.conditions(branches, otherwise, scope, out),
            Statement::For(node) => self.deeper(node.items.line, || self.for_loop(node, scope, out))?,
            Statement::Set { target, value } => {
                let line = value.line;
                let value = self.evaluate(value, scope)?;
                self.assign(target, value, scope).map_err(|error| error.at(line))?;
            }
            Statement::SetBlock { target, filter, body } => {
                let text = self.captured(body, scope)?;
                let value = self.filtered(filter.as_ref(), text, scope)?;
                self.assign(target, value, scope)?;
            }
            Statement::With { bindings, body } => return self.with(bindings, body, scope, out),
            Statement::Macro(definition) => {
                let value = self.define_macro(definition, scope);
                if let Some(name) = &definition.name {
                    scope.set(name, value);
                }
            }
            Statement::Call { call, definition } => {
                let text = self.call_block(call, definition, scope)?;
                self.write(&self.text_of(&text)?, out)?;
            }
            Statement::FilterBlock { filter, body } => {
                let text = self.captured(body, scope)?;
                let value = self.filtered(Some(filter), text, scope)?;
                self.write(&self.text_of(&value)?, out)?;
            }
            Statement::Block(body) => drop(self.execute(body, &self.root.inner(), out)?),
            Statement::Generation(body) => self.generation(body, scope, out)?,
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
            Statement::OtherTemplate { tag, line } => {
                return Err(Error::new(format!("`{tag}` needs another template, and there is none")).at(*line));
            }
        }
        Ok(Flow::Next)
    }

    /// Executes a block with variables of its own, whose values are those outside of the block.
    fn with(&self, bindings: &'t [(Target, Node)], body: &'t Body, scope: &Scope, out: &mut String) -> Result<Flow> {
        let inner = scope.inner();
        for (target, value) in bindings {
            self.assign(target, self.evaluate(value, scope)?, &inner)?;
        }
        self.execute(body, &inner, out)
    }

    #[inline(never)]
    fn conditions(
        &self,
        branches: &'t [(Node, Body)],
        otherwise: &'t [Statement],
        scope: &Scope,
        out: &mut String,
    ) -> Result<Flow> {
        for (condition, body) in branches {
            if self.evaluate(condition, scope)?.is_true() {
                return self.deeper(condition.line, || self.execute(body, scope, out));
            }
        }
        self.execute(otherwise, scope, out)
    }

    /// The text of a block.
    #[inline(never)]
    fn captured(&self, body: &'t [Statement], scope: &Scope) -> Result<Value> {
        self.apart(|text| self.execute(body, &scope.inner(), text).map(drop))
    }

    /// The text that `render` writes, which is a value and no part of the rendered text yet.
    pub(super) fn apart(&self, render: impl FnOnce(&mut String) -> Result<()>) -> Result<Value> {
        let mut text = String::new();
        self.captures.set(self.captures.get() + 1);
        let result = render(&mut text);
        self.captures.set(self.captures.get() - 1);
        result.map(|()| Value::text(text))
    }

    /// `{% generation %}`: notes where the text of the block is. The place of a text within a macro or a captured block is
    /// not known.
    #[inline(never)]
    fn generation(&self, body: &'t Body, scope: &Scope, out: &mut String) -> Result<()> {
        let start = out.len();
        self.execute(body, &scope.inner(), out)?;
        let mut spans = self.generation_spans.borrow_mut();
        match spans.as_mut().filter(|_| self.captures.get() == 0) {
            Some(spans) => spans.push(start..out.len()),
            None => *spans = None,
        }
        Ok(())
    }

    /// The text of a block after its filters.
    #[inline(never)]
    fn filtered(&self, filter: Option<&'t Node>, text: Value, scope: &Scope) -> Result<Value> {
        match filter {
            Some(Node { expression: Expression::Filter(operation), line }) => {
                self.deeper(*line, || self.filter(operation, Some(&text), scope))
            }
            _ => Ok(text),
        }
    }

    /// Assigns a value to a name, an attribute of a namespace, or several of them.
    #[inline(never)]
    pub(super) fn assign(&self, target: &Target, value: Value, scope: &Scope) -> Result<()> {
        match target {
            Target::Name(name) => scope.set(name, value),
            Target::Tuple(targets) => {
                let values = self.items(&value)?;
                if values.len() != targets.len() {
                    let (expected, found) = (targets.len(), values.len());
                    return Err(Error::new(format!("expected {expected} values to unpack, found {found}")));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value, scope)?;
                }
            }
            Target::NamespaceAttribute(namespace, name) => {
                let Some(Value::Namespace(index)) = scope.get(namespace) else {
                    return Err(Error::new(format!("`{namespace}` is no namespace: its attribute cannot be assigned")));
                };
                check_attribute_name(name)?;
                self.namespaces.borrow_mut()[index].insert(name.clone(), value);
            }
        }
        Ok(())
    }
}
