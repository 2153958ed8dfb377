//! A position in the source, and the tokens within tags.

use super::{
    super::error::{Error, Result},
    literal,
    tokens::{OPERATORS, Token},
};
use crate::chat::jinja::text::is_space;

/// A position in the source of a template.
pub(super) struct Scanner<'a> {
    source: &'a str,
    position: usize,
    line: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, position: 0, line: 1 }
    }

    /// The source from the position on.
    pub(super) fn rest(&self) -> &'a str {
        &self.source[self.position..]
    }

    /// Line of the position, from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn advance(&mut self, num_bytes: usize) {
        self.line += self.rest()[..num_bytes].matches('\n').count();
        self.position += num_bytes;
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.advance(rest.len() - rest.trim_start_matches(is_space).len());
    }

    /// Whether the last character was a new line.
    pub(super) fn follows_new_line(&self) -> bool {
        self.source[..self.position].ends_with('\n')
    }

    /// Reads a token within a tag. The position is not before white space.
    pub(super) fn token(&mut self) -> Result<Token> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Err(Error::new("a tag has no end: unexpected end of the template"));
        };
        if first.is_ascii_digit() {
            let follows_dot = self.source[..self.position].ends_with('.');
            let (token, length) = literal::number(rest, follows_dot)?;
            self.advance(length);
            return Ok(token);
        }
        if matches!(first, '\'' | '"') {
            let (text, length) = literal::string(rest)?;
            self.advance(length);
            return Ok(Token::Text(text.into()));
        }
        if is_name_character(first) {
            let length = rest.find(|c| !is_name_character(c)).unwrap_or(rest.len());
            self.advance(length);
            return Ok(Token::Name(rest[..length].into()));
        }
        match OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
            Some(operator) => {
                self.advance(operator.len());
                Ok(Token::Operator(operator))
            }
            None => Err(Error::new(format!("unexpected character {first:?}"))),
        }
    }
}

fn is_name_character(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
