//! Numbers and strings in tags.

use super::{
    super::error::{Error, Result},
    tokens::Token,
};

/// The number at the beginning of a text, and its length. Behind a dot (`a.0.1`) there are no fractions.
pub(super) fn number(text: &str, follows_dot: bool) -> Result<(Token, usize)> {
    if let Some(length) = (!follows_dot).then(|| float_length(text)).flatten() {
        let value = text[..length].replace('_', "").parse().map_err(|_| Error::new("invalid number"))?;
        return Ok((Token::Float(value), length));
    }
    for (prefix, radix) in [("0b", 2), ("0o", 8), ("0x", 16)] {
        let digits = text.get(..2).filter(|start| start.eq_ignore_ascii_case(prefix)).map(|_| &text[2..]);
        let length = digits.map_or(0, |digits| digits_length(digits, radix));
        if length > 0 {
            return Ok((integer(&text[2..2 + length], radix)?, 2 + length));
        }
    }
    // A number that begins with 0 has no other digits.
    let digits = digits_length(text, 10);
    let length =
        if text.starts_with('0') { text[..digits].find(|c| c != '0' && c != '_').unwrap_or(digits) } else { digits };
    Ok((integer(&text[..length], 10)?, length))
}

fn integer(digits: &str, radix: u32) -> Result<Token> {
    let value = i128::from_str_radix(&digits.replace('_', ""), radix);
    value.map(Token::Int).map_err(|_| Error::limit(format!("the integer {digits} is too large, expected 127 bits")))
}

/// Length of the digits with single underscores between them.
fn digits_length(text: &str, radix: u32) -> usize {
    let mut length = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '_' if characters.peek().is_some_and(|(_, next)| next.is_digit(radix)) => {}
            c if c.is_digit(radix) => length = at + 1,
            _ => break,
        }
    }
    length
}

/// Length of a number with a fraction, an exponent or both.
fn float_length(text: &str) -> Option<usize> {
    let whole = digits_length(text, 10);
    let rest = &text[whole..];
    let fraction = rest.strip_prefix('.').map_or(0, |digits| digits_length(digits, 10));
    let mut length = if fraction > 0 { whole + 1 + fraction } else { whole };
    let rest = &text[length..];
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let num_digits = digits_length(digits, 10);
        if num_digits > 0 {
            length = text.len() - digits.len() + num_digits;
            return Some(length);
        }
    }
    (fraction > 0).then_some(length)
}

/// The string at the beginning of a text, without quotes and with its escapes resolved, and its length.
pub(super) fn string(text: &str) -> Result<(String, usize)> {
    let quote = text.chars().next().unwrap_or_default();
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            c if c == quote => return Ok((value, at + 1)),
            '\\' => {
                let Some((_, escape)) = characters.next() else { break };
                let rest = &text[at + 1..];
                let (resolved, length) = resolve_escape(escape, rest)?;
                value += &resolved;
                // The first character of the escape has been read.
                for _ in 1..length {
                    characters.next();
                }
            }
            c => value.push(c),
        }
    }
    Err(Error::new("a string has no end"))
}

/// The text of an escape, and its number of characters without the backslash.
fn resolve_escape(escape: char, rest: &str) -> Result<(String, usize)> {
    let simple = match escape {
        '\n' => "",
        '\\' => "\\",
        '\'' => "'",
        '"' => "\"",
        'a' => "\x07",
        'b' => "\x08",
        'f' => "\x0c",
        'n' => "\n",
        'r' => "\r",
        't' => "\t",
        'v' => "\x0b",
        '0'..='7' => {
            let length = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            return Ok((code_point(&rest[..length], 8)?, length));
        }
        'x' => return hexadecimal(rest, 2),
        'u' => return hexadecimal(rest, 4),
        'U' => return hexadecimal(rest, 8),
        'N' => return Err(Error::unsupported("the escape `\\N{…}` in a string")),
        other => return Ok((format!("\\{other}"), 1)),
    };
    Ok((simple.into(), 1))
}

/// The character of `\x`, `\u` or `\U` with this number of digits.
fn hexadecimal(rest: &str, num_digits: usize) -> Result<(String, usize)> {
    let digits = rest.get(1..=num_digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let digits = digits.ok_or_else(|| Error::new(format!("an escape in a string needs {num_digits} digits")))?;
    Ok((code_point(digits, 16)?, 1 + num_digits))
}

fn code_point(digits: &str, radix: u32) -> Result<String> {
    let value = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    value.map(String::from).ok_or_else(|| Error::unsupported(format_args!("the code point {digits} in a string")))
}
