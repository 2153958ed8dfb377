//! Tokens of a template.

use std::sync::Arc;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// Text outside of tags.
    Data(String),
    /// `{{`.
    VariableBegin,
    /// `}}`.
    VariableEnd,
    /// `{%`.
    BlockBegin,
    /// `%}`.
    BlockEnd,
    Name(Arc<str>),
    Text(Arc<str>),
    Int(i128),
    Float(f64),
    Operator(&'static str),
    End,
}

impl Token {
    /// The token for an error message.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Data(_) => "text".into(),
            Self::VariableBegin => "`{{`".into(),
            Self::VariableEnd => "`}}`".into(),
            Self::BlockBegin => "`{%`".into(),
            Self::BlockEnd => "`%}`".into(),
            Self::Name(name) => format!("`{name}`"),
            Self::Text(_) => "a string".into(),
            Self::Int(_) => "an integer".into(),
            Self::Float(_) => "a number".into(),
            Self::Operator(operator) => format!("`{operator}`"),
            Self::End => "the end of the template".into(),
        }
    }
}

/// Operators, those with two characters first.
pub(super) const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];
