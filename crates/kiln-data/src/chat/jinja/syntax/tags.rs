//! Source → tokens: text, tags and comments, with Jinja's control of white space.
//!
//! The settings are those of `transformers`: the new line after a block tag or comment is removed (`trim_blocks`), and
//! so is the white space before one that begins a line (`lstrip_blocks`). `-` removes all white space on its side, `+`
//! keeps it.

use super::{
    super::error::{Error, Result},
    scanner::Scanner,
    tokens::Token,
};
use crate::chat::jinja::text::{is_space, trim_end};

/// The tokens of a template with their lines, in order; the last one is [`Token::End`].
pub(super) fn tokenize(source: &str) -> Result<Vec<(Token, usize)>> {
    let mut source = source.replace("\r\n", "\n").replace('\r', "\n");
    // One new line at the end does not belong to the template.
    if source.ends_with('\n') {
        source.pop();
    }
    let mut tokenizer = Tokenizer { scanner: Scanner::new(&source), tokens: Vec::new(), line_starting: true };
    while tokenizer.next_part()? {}
    let line = tokenizer.scanner.line();
    tokenizer.tokens.push((Token::End, line));
    Ok(tokenizer.tokens)
}

struct Tokenizer<'a> {
    scanner: Scanner<'a>,
    tokens: Vec<(Token, usize)>,
    /// Whether the last part ended with a new line.
    line_starting: bool,
}

impl Tokenizer<'_> {
    /// Reads text and the tag behind it. `false` at the end of the template.
    fn next_part(&mut self) -> Result<bool> {
        let rest = self.scanner.rest();
        let Some(at) = find_tag(rest) else {
            self.push_data(rest, self.scanner.line());
            self.scanner.advance(rest.len());
            return Ok(false);
        };
        let (text, tag) = (&rest[..at], &rest[at..]);
        let (text, line) = (self.strip_before(text, tag).to_owned(), self.scanner.line());
        self.push_data(&text, line);
        self.scanner.advance(at);
        match &tag[..2] {
            "{#" => self.comment()?,
            "{{" => self.expression(Token::VariableBegin, Token::VariableEnd, false)?,
            _ => match raw_tag_length(tag, "raw") {
                Some(length) => self.raw(length)?,
                None => self.expression(Token::BlockBegin, Token::BlockEnd, true)?,
            },
        }
        self.line_starting = self.scanner.follows_new_line();
        Ok(true)
    }

    /// The text before a tag, without the white space that the tag removes.
    fn strip_before<'t>(&self, text: &'t str, tag: &str) -> &'t str {
        match tag.as_bytes().get(2) {
            Some(b'-') => trim_end(text),
            Some(b'+') => text,
            _ if tag.starts_with("{{") => text,
            _ => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let begins_line = line > 0 || self.line_starting;
                if begins_line && text[line..].chars().all(is_space) { &text[..line] } else { text }
            }
        }
    }

    fn push_data(&mut self, text: &str, line: usize) {
        if !text.is_empty() {
            self.tokens.push((Token::Data(text.to_owned()), line));
        }
    }

    fn comment(&mut self) -> Result<()> {
        let line = self.scanner.line();
        let rest = self.scanner.rest();
        let start = if rest[2..].starts_with(['-', '+']) { 3 } else { 2 };
        let Some(end) = rest[start..].find("#}").map(|at| at + start) else {
            return Err(Error::new("a comment has no end, expected `#}`").at(line));
        };
        let sign = if end > start { rest.as_bytes()[end - 1] } else { b' ' };
        self.scanner.advance(end + 2);
        self.strip_after(sign, true);
        Ok(())
    }

    /// Reads `{% raw %}` … `{% endraw %}`; `length` is the length of the first tag.
    fn raw(&mut self, length: usize) -> Result<()> {
        let line = self.scanner.line();
        let strips = self.scanner.rest()[..length].ends_with("-%}");
        self.scanner.advance(length);
        if strips {
            self.scanner.skip_space();
        }
        self.line_starting = self.scanner.follows_new_line();
        let rest = self.scanner.rest();
        let found = rest.match_indices("{%").find_map(|(at, _)| Some((at, raw_tag_length(&rest[at..], "endraw")?)));
        let Some((at, length)) = found else {
            return Err(Error::new("`{% raw %}` has no end, expected `{% endraw %}`").at(line));
        };
        let text = self.strip_before(&rest[..at], &rest[at..]).to_owned();
        self.push_data(&text, line);
        let sign = rest.as_bytes()[at + length - 3];
        self.scanner.advance(at + length);
        self.strip_after(sign, true);
        Ok(())
    }

    /// Reads the tokens of `{{ … }}` or `{% … %}`.
    fn expression(&mut self, begin: Token, end: Token, is_block: bool) -> Result<()> {
        let close = if is_block { "%}" } else { "}}" };
        self.tokens.push((begin, self.scanner.line()));
        self.scanner.advance(2);
        if self.scanner.rest().starts_with(['-', '+']) {
            self.scanner.advance(1);
        }
        let mut brackets = Vec::new();
        loop {
            self.scanner.skip_space();
            let (rest, line) = (self.scanner.rest(), self.scanner.line());
            let sign = rest.as_bytes().first().copied().unwrap_or_default();
            let signed = sign == b'-' || (sign == b'+' && is_block);
            if brackets.is_empty() && (rest.starts_with(close) || (signed && rest[1..].starts_with(close))) {
                self.scanner.advance(close.len() + usize::from(signed));
                self.tokens.push((end, line));
                self.strip_after(if signed { sign } else { b' ' }, is_block);
                return Ok(());
            }
            let token = self.scanner.token().map_err(|error| error.at(line))?;
            check_brackets(&token, &mut brackets).map_err(|error| error.at(line))?;
            self.tokens.push((token, line));
        }
    }

    /// Removes the white space behind a tag with this sign before its end.
    fn strip_after(&mut self, sign: u8, trims_new_line: bool) {
        match sign {
            b'-' => self.scanner.skip_space(),
            b'+' => {}
            _ if trims_new_line && self.scanner.rest().starts_with('\n') => self.scanner.advance(1),
            _ => {}
        }
    }
}

/// Checks that brackets close in the order in which they open.
fn check_brackets(token: &Token, brackets: &mut Vec<&'static str>) -> Result<()> {
    let Token::Operator(operator) = token else { return Ok(()) };
    match *operator {
        "{" => brackets.push("}"),
        "(" => brackets.push(")"),
        "[" => brackets.push("]"),
        "}" | ")" | "]" => match brackets.pop() {
            Some(expected) if expected == *operator => {}
            Some(expected) => return Err(Error::new(format!("unexpected `{operator}`, expected `{expected}`"))),
            None => return Err(Error::new(format!("unexpected `{operator}`"))),
        },
        _ => {}
    }
    Ok(())
}

/// Offset of the next `{{`, `{%` or `{#`.
fn find_tag(text: &str) -> Option<usize> {
    text.match_indices('{').map(|(at, _)| at).find(|at| matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')))
}

/// Length of the tag `{% name %}` at the beginning of a text; `None` if there is another one.
fn raw_tag_length(text: &str, name: &str) -> Option<usize> {
    let rest = text.strip_prefix("{%")?;
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_start_matches(is_space);
    let rest = rest.strip_prefix(name)?.trim_start_matches(is_space);
    let rest = rest.strip_prefix('-').or_else(|| rest.strip_prefix('+').filter(|_| name == "endraw")).unwrap_or(rest);
    Some(text.len() - rest.strip_prefix("%}")?.len())
}
