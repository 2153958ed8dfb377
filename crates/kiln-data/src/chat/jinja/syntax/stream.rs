//! The tokens of a template with a position, and the limits of the parser.

use super::{
    super::error::{Error, Result},
    ast::{Expression, MacroUses, Name, Node},
    tokens::Token,
};

/// Maximum nesting of blocks, and of expressions: the parser is recursive.
const MAX_NESTING: usize = 64;
/// Maximum number of operators in a tag; each may add a level to the syntax tree.
const MAX_OPERATORS: usize = 400;

/// A parser of statements and expressions.
pub(super) struct Parser {
    tokens: Vec<(Token, usize)>,
    position: usize,
    expression_depth: usize,
    block_depth: usize,
    num_operators: usize,
    /// Number of loops around the position, in which `loop` cannot be assigned.
    pub(super) loop_depth: usize,
    /// Whether `break` and `continue` have a loop.
    pub(super) in_loop: bool,
    /// Filters and tests that do not exist. They are an error, unless a condition decides whether they are reached.
    pub(super) unknown: Vec<Error>,
    /// The special variables read by each macro around the position.
    pub(super) macros: Vec<MacroUses>,
    /// Whether there was a `{% generation %}`.
    pub(super) has_generation_marks: bool,
}

impl Parser {
    pub(super) fn new(tokens: Vec<(Token, usize)>) -> Self {
        Self {
            tokens,
            position: 0,
            expression_depth: 0,
            block_depth: 0,
            num_operators: 0,
            loop_depth: 0,
            in_loop: false,
            unknown: Vec::new(),
            macros: Vec::new(),
            has_generation_marks: false,
        }
    }

    pub(super) fn current(&self) -> &Token {
        self.tokens.get(self.position).map_or(&Token::End, |(token, _)| token)
    }

    pub(super) fn following(&self) -> &Token {
        self.tokens.get(self.position + 1).map_or(&Token::End, |(token, _)| token)
    }

    pub(super) fn line(&self) -> usize {
        self.tokens.get(self.position).or(self.tokens.last()).map_or(1, |(_, line)| *line)
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.current().clone();
        if matches!(token, Token::VariableBegin | Token::BlockBegin) {
            self.num_operators = 0;
        }
        self.position += 1;
        token
    }

    pub(super) fn is_operator(&self, operator: &str) -> bool {
        matches!(self.current(), Token::Operator(current) if *current == operator)
    }

    /// Skips an operator if it is next.
    pub(super) fn skip_operator(&mut self, operator: &str) -> bool {
        let found = self.is_operator(operator);
        self.position += usize::from(found);
        found
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.current(), Token::Name(current) if **current == *name)
    }

    /// Skips a keyword if it is next.
    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.position += usize::from(found);
        found
    }

    pub(super) fn expect_operator(&mut self, operator: &str) -> Result<()> {
        if self.skip_operator(operator) { Ok(()) } else { Err(self.unexpected(&format!("`{operator}`"))) }
    }

    pub(super) fn expect_name(&mut self) -> Result<Name> {
        match self.current().clone() {
            Token::Name(name) => {
                self.position += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    pub(super) fn expect_block_end(&mut self) -> Result<()> {
        if *self.current() != Token::BlockEnd {
            return Err(self.unexpected("`%}`"));
        }
        self.position += 1;
        Ok(())
    }

    /// The error that another token was expected.
    pub(super) fn unexpected(&self, expected: &str) -> Error {
        Error::new(format!("unexpected {}, expected {expected}", self.current().describe())).at(self.line())
    }

    /// Counts an operator of the current tag.
    pub(super) fn count_operator(&mut self) -> Result<()> {
        self.num_operators += 1;
        if self.num_operators > MAX_OPERATORS {
            let message = format!("a tag has more than {MAX_OPERATORS} operators");
            return Err(Error::limit(message).at(self.line()));
        }
        Ok(())
    }

    /// Parses a part of an expression, one level deeper.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.expression_depth += 1;
        if self.expression_depth > MAX_NESTING {
            let message = format!("expressions are nested more than {MAX_NESTING} levels deep");
            return Err(Error::limit(message).at(self.line()));
        }
        let parsed = parse(self);
        self.expression_depth -= 1;
        parsed
    }

    /// Parses the body of a block, one level deeper.
    pub(super) fn nested_block<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.block_depth += 1;
        if self.block_depth > MAX_NESTING {
            let message = format!("blocks are nested more than {MAX_NESTING} levels deep");
            return Err(Error::limit(message).at(self.line()));
        }
        let parsed = parse(self);
        self.block_depth -= 1;
        parsed
    }
}

/// An expression with its line.
pub(super) fn node(expression: Expression, line: usize) -> Node {
    Node { expression, line }
}
