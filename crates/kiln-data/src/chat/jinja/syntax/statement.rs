//! Statements: text, `{{ … }}` and `{% … %}`.

use super::{
    super::error::{Error, Result},
    ast::{Body, ForLoop, Macro, MacroUses, Name, Node, Statement, Target},
    stream::{Parser, node},
    tags::tokenize,
    tokens::Token,
};
use std::{mem, sync::Arc};

/// The statements of a template, and whether `{% generation %}` is among them.
pub(in super::super) fn parse(source: &str) -> Result<(Body, bool)> {
    let mut parser = Parser::new(tokenize(source)?);
    let (body, _) = parser.statements(&[])?;
    match parser.unknown.into_iter().next() {
        Some(error) => Err(error),
        None => Ok((body, parser.has_generation_marks)),
    }
}

impl Parser {
    /// Statements up to a tag with one of these names, whose `{%` and name are skipped, or up to the end of the
    /// template if there are no names.
    fn statements(&mut self, ends: &[&'static str]) -> Result<(Body, &'static str)> {
        let mut body = Vec::new();
        loop {
            match self.next() {
                Token::Data(text) => body.push(Statement::Text(text)),
                Token::VariableBegin => {
                    body.push(Statement::Print(self.tuple_or_value(true, false, false)?));
                    if self.next() != Token::VariableEnd {
                        return Err(Error::new("unexpected token in `{{ … }}`, expected `}}`").at(self.line()));
                    }
                }
                Token::BlockBegin => {
                    let end = ends.iter().find(|end| self.is_name(end));
                    if let Some(end) = end {
                        self.next();
                        return Ok((body, end));
                    }
                    body.push(self.nested_block(Self::checked_statement)?);
                    self.expect_block_end()?;
                }
                Token::End if ends.is_empty() => return Ok((body, "")),
                Token::End => {
                    let expected = ends.join("` or `");
                    return Err(Error::new(format!("the template ends, expected `{expected}`")).at(self.line()));
                }
                _ => return Err(self.unexpected("text or a tag")),
            }
        }
    }

    /// The body of a block behind its head, up to one of these tags.
    fn body(&mut self, ends: &[&'static str]) -> Result<(Body, &'static str)> {
        self.skip_operator(":");
        self.expect_block_end()?;
        self.statements(ends)
    }

    /// A statement, and whether the filters in it exist: those under a condition may not.
    fn checked_statement(&mut self) -> Result<Statement> {
        let num_unknown = self.unknown.len();
        let statement = self.statement()?;
        match statement {
            Statement::If { .. } => self.unknown.truncate(num_unknown),
            Statement::Print(_) | Statement::Set { .. } => {}
            _ if self.unknown.len() > num_unknown => return Err(self.unknown.remove(num_unknown)),
            _ => {}
        }
        Ok(statement)
    }

    fn statement(&mut self) -> Result<Statement> {
        let line = self.line();
        let tag = self.expect_name()?;
        match &*tag {
            "if" => self.conditions(),
            "for" => {
                self.loop_depth += 1;
                let node = self.for_loop();
                self.loop_depth -= 1;
                node
            }
            "set" => self.assignment(),
            "with" => self.with(),
            "macro" => self.macro_definition(line),
            "call" => self.call_block(line),
            "filter" => {
                let filter = self.filters(None)?;
                Ok(Statement::FilterBlock { filter, body: self.body(&["endfilter"])?.0 })
            }
            "block" => self.block(),
            "generation" => {
                self.has_generation_marks = true;
                Ok(Statement::Generation(self.function_body(&["endgeneration"])?.0))
            }
            "print" => Ok(Statement::Print(self.tuple_or_value(true, false, false)?)),
            "break" | "continue" if !self.in_loop => Err(Error::new(format!("`{tag}` is outside of a loop")).at(line)),
            "break" => Ok(Statement::Break),
            "continue" => Ok(Statement::Continue),
            "include" | "import" | "extends" | "from" => {
                while !matches!(self.current(), Token::BlockEnd | Token::End) {
                    self.next();
                }
                Ok(Statement::OtherTemplate { tag: tag.to_string(), line })
            }
            "autoescape" => Err(Error::unsupported("`{% autoescape %}`").at(line)),
            _ => Err(Error::new(format!("unknown tag `{tag}`")).at(line)),
        }
    }

    fn conditions(&mut self) -> Result<Statement> {
        let mut branches = Vec::new();
        loop {
            let condition = self.tuple_or_value(false, false, false)?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((condition, body));
            match end {
                "elif" => {}
                "else" => return Ok(Statement::If { branches, otherwise: self.body(&["endif"])?.0 }),
                _ => return Ok(Statement::If { branches, otherwise: Vec::new() }),
            }
        }
    }

    fn for_loop(&mut self) -> Result<Statement> {
        let target = self.target(false)?;
        if !self.skip_name("in") {
            return Err(self.unexpected("`in`"));
        }
        let items = self.tuple_or_value(false, false, true)?;
        let condition = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        let was_in_loop = mem::replace(&mut self.in_loop, true);
        let (body, end) = self.body(&["endfor", "else"])?;
        self.in_loop = was_in_loop;
        let otherwise = if end == "else" { self.body(&["endfor"])?.0 } else { Vec::new() };
        Ok(Statement::For(Box::new(ForLoop { target, items, condition, recursive, body, otherwise })))
    }

    fn assignment(&mut self) -> Result<Statement> {
        let target = self.target(true)?;
        if self.skip_operator("=") {
            return Ok(Statement::Set { target, value: self.tuple_or_value(true, false, false)? });
        }
        let filter = if self.skip_operator("|") { Some(self.filters(None)?) } else { None };
        Ok(Statement::SetBlock { target, filter, body: self.body(&["endset"])?.0 })
    }

    /// A chain of filters without its operand.
    fn filters(&mut self, mut operand: Option<Node>) -> Result<Node> {
        loop {
            let line = self.line();
            let filter = self.filter(operand.take(), line)?;
            self.count_operator()?;
            if !self.skip_operator("|") {
                return Ok(filter);
            }
            operand = Some(filter);
        }
    }

    fn with(&mut self) -> Result<Statement> {
        let mut bindings = Vec::new();
        while !matches!(self.current(), Token::BlockEnd | Token::Operator(":")) {
            if !bindings.is_empty() {
                self.expect_operator(",")?;
            }
            let target = Target::Name(self.assignable_name()?);
            self.expect_operator("=")?;
            bindings.push((target, self.expression()?));
        }
        Ok(Statement::With { bindings, body: self.body(&["endwith"])?.0 })
    }

    fn block(&mut self) -> Result<Statement> {
        let name = self.expect_name()?;
        if self.is_name("scoped") || self.is_name("required") {
            return Err(Error::unsupported("a `{% block %}` that is `scoped` or `required`").at(self.line()));
        }
        let (body, _) = self.function_body(&["endblock"])?;
        self.skip_name(&name);
        Ok(Statement::Block(body))
    }

    fn macro_definition(&mut self, line: usize) -> Result<Statement> {
        let name = self.expect_name()?;
        let parameters = self.parameters()?;
        Ok(Statement::Macro(Arc::new(self.macro_body(Some(name), parameters, "endmacro", line)?)))
    }

    fn call_block(&mut self, line: usize) -> Result<Statement> {
        let parameters = if self.is_operator("(") { self.parameters()? } else { Vec::new() };
        let call = self.expression()?;
        if !matches!(call.expression, super::ast::Expression::Call(..)) {
            return Err(Error::new("`{% call %}` expects a call").at(line));
        }
        let definition = Arc::new(self.macro_body(None, parameters, "endcall", line)?);
        Ok(Statement::Call { call: node(call.expression, line), definition })
    }

    fn macro_body(
        &mut self,
        name: Option<Name>,
        parameters: Vec<(Name, Option<Node>)>,
        end: &'static str,
        line: usize,
    ) -> Result<Macro> {
        self.macros.push(MacroUses::default());
        let (body, _) = self.function_body(&[end])?;
        let uses = self.macros.pop().unwrap_or_default();
        Ok(Macro { name, parameters, body, uses, line })
    }

    /// A body in which `break` does not reach the loops around it.
    fn function_body(&mut self, ends: &[&'static str]) -> Result<(Body, &'static str)> {
        let was_in_loop = mem::replace(&mut self.in_loop, false);
        let body = self.body(ends);
        self.in_loop = was_in_loop;
        body
    }
}
