//! Conversion of serde's error messages to [`ConfigErrorKind`]s.
//!
//! serde errors carry no structure, only text such as ``unknown field `a`, expected `b` or `c` ``. The message is parsed, so
//! that errors have codes, suggestions, and words that users know ("a table" for "map").
use super::deserialize::NEEDS_TABLE;
use super::key_path::{KeyPath, PathSegment};
use super::{ConfigError, ConfigErrorKind};

/// Error for a serde message at `path`. Messages of unknown form become [`ConfigErrorKind::InvalidValue`].
pub(super) fn parse_serde_message(message: &str, mut path: KeyPath) -> ConfigError {
    // The first word in backquotes is the one that is wrong; the others are the valid ones.
    let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_owned);
    let word = quoted.next().unwrap_or_default();
    let kind = if message.starts_with("unknown field") {
        ConfigErrorKind::UnknownKey { key: word, allowed: quoted.collect() }
    } else if message.starts_with("unknown variant") {
        pop_key(&mut path, &word);
        ConfigErrorKind::UnknownChoice { name: word, allowed: quoted.collect() }
    } else if message.starts_with("missing field") {
        path = path.join(&word);
        ConfigErrorKind::MissingKey { key: word, bare_word: None }
    } else if let Some((_, inner)) = message.split_once(NEEDS_TABLE).filter(|_| message.starts_with('`')) {
        return add_bare_word_hint(parse_serde_message(inner.trim_start_matches(": "), path.join(&word)), word);
    } else {
        ConfigErrorKind::InvalidValue { message: describe_type_mismatch(message) }
    };
    ConfigError::new(path.to_string(), kind)
}

/// Adds to the error of an alternative that it was written as the bare word `name`, without its required keys.
fn add_bare_word_hint(mut error: ConfigError, name: String) -> ConfigError {
    match &mut *error.kind {
        ConfigErrorKind::MissingKey { bare_word, .. } => *bare_word = Some(name),
        ConfigErrorKind::InvalidValue { message } => {
            let expected = message.split(", found ").next().unwrap_or_default();
            *message = format!("`{name}` {NEEDS_TABLE}: {expected}, write `{{ {name} = … }}`");
        }
        _ => {}
    }
    error
}

/// Removes the last step of `path` if it is the unknown name, which serde counts as a key: the error is at the choice.
fn pop_key(path: &mut KeyPath, name: &str) {
    if path.0.last() == Some(&PathSegment::Key(name.to_owned())) {
        path.0.pop();
    }
}

/// `invalid type: string "a", expected f64` becomes `expected a number, found string "a"`.
fn describe_type_mismatch(message: &str) -> String {
    let Some(rest) = message.strip_prefix("invalid ") else { return message.to_owned() };
    let Some((found, expected)) = rest.split_once(": ").and_then(|(_, rest)| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    format!("expected {}, found {}", describe_rust_type(expected), describe_rust_type(found))
}

/// Words for a Rust or serde type.
fn describe_rust_type(rust: &str) -> &str {
    match rust {
        "f32" | "f64" => "a number",
        "u8" => "an integer from 0 to 255",
        "u16" => "an integer from 0 to 65535",
        "u32" => "an integer from 0 to 4294967295",
        "u64" | "usize" => "an integer of at least 0",
        _ if rust.starts_with("a nonzero ") => "an integer above 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "an integer",
        "a boolean" => "true or false",
        "map" | "a map" => "a table",
        "sequence" | "a sequence" => "a list",
        _ if rust.starts_with("struct ") => "a table",
        _ => rust,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(message: &str, path: &str) -> (String, String, &'static str) {
        let error = parse_serde_message(message, KeyPath::parse(path));
        (error.path.clone(), error.message(), error.code())
    }

    #[test]
    fn each_kind_of_message_is_recognized() {
        let cases = [
            ("unknown field `a`, expected `b` or `c`", "x.a", "x.a", "unknown key `a`", "unknown-key"),
            ("unknown variant `a`, expected `b`", "x", "x", "unknown choice `a`", "unknown-choice"),
            ("unknown variant `a`, expected `b`", "x.a", "x", "unknown choice `a`", "unknown-choice"),
            ("missing field `a`", "x[1]", "x[1].a", "missing key `a`", "missing-key"),
            ("`gla` needs a value: missing field `a`", "x[1]", "x[1].gla.a", "missing key `a`", "missing-key"),
            (
                "invalid type: string \"a, expected b\", expected f64",
                "x",
                "x",
                "expected a number, found string \"a, expected b\"",
                "value",
            ),
            ("invalid type: map, expected a sequence", "x", "x", "expected a list, found a table", "value"),
            (
                "`and` needs a value: invalid type: map, expected a sequence",
                "x",
                "x.and",
                "`and` needs a value: expected a list, write `{ and = … }`",
                "value",
            ),
            ("must be even", "x", "x", "must be even", "value"),
        ];
        for (message, serde_path, path, text, code) in cases {
            assert_eq!(parsed(message, serde_path), (path.to_owned(), text.to_owned(), code), "{message}");
        }
    }

    #[test]
    fn the_valid_words_are_in_the_help() {
        let error = parse_serde_message(
            "unknown field `stpes`, expected one of `steps`, `tokens`, `name`",
            KeyPath::parse("stpes"),
        );
        assert_eq!(error.help().unwrap(), "did you mean `steps`? valid keys: steps, tokens, name");
        let error = parse_serde_message("unknown field `a`, there are no fields", KeyPath::parse("a"));
        assert_eq!(error.help().unwrap(), "remove `a`: the table has no keys");
    }
}
