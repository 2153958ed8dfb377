//! Nesting of JSON: where a value ends, found without parsing it.

/// Position in a JSON text: how deep, and whether in a string.
#[derive(Clone, Debug, Default)]
pub(super) struct Nesting {
    /// Number of open braces and brackets.
    pub depth: u64,
    is_in_string: bool,
    is_escaped: bool,
}

impl Nesting {
    /// Advances over one byte of the text. A line end closes a string, because JSON strings have none: an unclosed string
    /// then spoils only its own line.
    pub fn advance(&mut self, byte: u8) {
        if self.is_in_string {
            let is_escaped = std::mem::take(&mut self.is_escaped);
            match byte {
                b'\n' => self.is_in_string = false,
                _ if is_escaped => {}
                b'\\' => self.is_escaped = true,
                b'"' => self.is_in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.is_in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Advances over several bytes.
    pub fn advance_all(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.advance(*byte));
    }

    /// Whether the position is between two values, outside of all braces, brackets and strings.
    pub fn is_outside(&self) -> bool {
        self.depth == 0 && !self.is_in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_count() {
        let after = |json: &str| {
            let mut nesting = Nesting::default();
            nesting.advance_all(json.as_bytes());
            (nesting.depth, nesting.is_outside())
        };
        assert_eq!(after(r#"{"a": "}\"}", "b": [1, {"#), (3, false));
        assert_eq!(after(r#"{"a": "\\"}"#), (0, true));
        assert_eq!(after("\"a"), (0, false));
        assert_eq!(after("\"a\n"), (0, true));
    }
}
