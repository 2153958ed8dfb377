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
use std::ops::Range;
use syntax::ast::Body;

/// A parsed template.
#[derive(Debug)]
pub(super) struct Program {
    body: Body,
    /// Whether the template has `{% generation %}`.
    has_generation_marks: bool,
}

/// A rendered text, and its spans within `{% generation %}`.
#[derive(Debug)]
pub(super) struct Rendered {
    pub text: String,
    /// Ranges of bytes, in order. `None` for a template without marks, and if the place of one is not known, because it is in a
    /// macro or a captured block.
    pub generation_spans: Option<Vec<Range<usize>>>,
}

impl Program {
    /// Parses a template. Fails for a syntax error or a limit, with the line.
    pub(super) fn parse(source: &str) -> Result<Self> {
        let (body, has_generation_marks) = syntax::parse(source)?;
        Ok(Self { body, has_generation_marks })
    }

    /// The text of the template with these variables. `fuel` limits time and memory.
    pub(super) fn render(
        &self,
        variables: &Map<String, Json>,
        now: Option<TemplateClock>,
        fuel: u64,
    ) -> Result<Rendered> {
        let values = variables.iter().map(|(name, json)| Ok((name.as_str().into(), value::from_json(json)?)));
        let variables = values.collect::<Result<Vec<_>>>()?;
        let (text, spans) = Renderer::new(variables, now, fuel).render(&self.body)?;
        Ok(Rendered { text, generation_spans: spans.filter(|_| self.has_generation_marks) })
    }
}
