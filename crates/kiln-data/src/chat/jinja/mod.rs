//! An interpreter of Jinja templates with the semantics of Python.
//!
//! Chat templates are written for Jinja2, whose values are Python's: `1 / 2` is `0.5`, `none` has no items, `[1:]` of
//! a string counts characters, `schema.items` is a method, and printing a dictionary gives its `repr`. A template
//! engine with other values renders some of these templates to another text without an error. This interpreter renders
//! the same text as `transformers` (Jinja2's `ImmutableSandboxedEnvironment` with `trim_blocks`, `lstrip_blocks` and
//! loop controls), or fails with the line that it does not support.
//!
//! `syntax` parses a template, `run` evaluates it, `value` has the operators, `methods`, `filters` and `predicates`
//! the names that templates use, and `format` Python's ways to format.

mod arguments;
mod error;
mod filters;
mod format;
mod methods;
mod predicates;
mod run;
mod syntax;
#[cfg(test)]
mod tests;
mod text;
mod value;

#[cfg(test)]
pub(super) use error::ErrorKind;
pub(super) use error::{Error, Result};

use super::TemplateClock;
use run::Renderer;
use serde_json::{Map, Value as Json};
use syntax::ast::Body;

/// A parsed template.
#[derive(Debug)]
pub(super) struct Program {
    body: Body,
}

impl Program {
    /// Parses a template. Fails for a syntax error or a limit, with the line.
    pub(super) fn parse(source: &str) -> Result<Self> {
        Ok(Self { body: syntax::parse(source)? })
    }

    /// The text of the template with these variables. `fuel` limits time and memory.
    pub(super) fn render(
        &self,
        variables: &Map<String, Json>,
        now: Option<TemplateClock>,
        fuel: u64,
    ) -> Result<String> {
        let values = variables.iter().map(|(name, json)| Ok((name.as_str().into(), value::from_json(json)?)));
        let variables = values.collect::<Result<Vec<_>>>()?;
        Renderer::new(variables, now, fuel).render(&self.body)
    }
}
