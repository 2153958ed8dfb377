//! Syntax of templates: source → tokens → syntax tree. Pure data, without values.

pub(super) mod ast;
mod call;
mod expression;
mod literal;
mod operation;
mod scanner;
mod statement;
mod stream;
mod tags;
mod target;
mod tokens;

pub(super) use statement::parse;
