//! From a deserializer's words to a [`Fault`]: serde hands over only text.
use super::deserialize::NEEDS_TABLE;
use super::key_path::{KeyPath, PathSegment};
use super::{ConfigError, ConfigErrorKind};

/// The error that `message` tells of, found at `path`.
pub(super) fn parse_serde_message(message: &str, mut path: KeyPath) -> ConfigError {
    let quoted = || message.split('`').skip(1).step_by(2).map(str::to_owned);
    let word = quoted().next().unwrap_or_default();
    let legal = || quoted().skip(1).collect::<Vec<_>>();
    let fault = if message.starts_with("unknown field") {
        ConfigErrorKind::UnknownKey { key: word, allowed: legal() }
    } else if message.starts_with("unknown variant") {
        pop_key(&mut path, &word);
        ConfigErrorKind::UnknownChoice { name: word, allowed: legal() }
    } else if message.starts_with("missing field") {
        path = path.join(&word);
        ConfigErrorKind::MissingKey { key: word, bare_word: None }
    } else if let Some((_, inner)) = message.split_once(NEEDS_TABLE).filter(|_| message.starts_with('`')) {
        return add_bare_word_hint(parse_serde_message(inner.trim_start_matches(": "), path.join(&word)), word);
    } else {
        ConfigErrorKind::InvalidValue { message: describe_type_mismatch(message) }
    };
    ConfigError::new(path.to_string(), fault)
}

/// What is wrong with a bare word whose alternative cannot be read from nothing.
fn add_bare_word_hint(mut error: ConfigError, name: String) -> ConfigError {
    match &mut *error.kind {
        ConfigErrorKind::MissingKey { bare_word: word, .. } => *word = Some(name),
        ConfigErrorKind::InvalidValue { message } => {
            let expected = message.split(", found ").next().unwrap_or_default();
            *message = format!("`{name}` {NEEDS_TABLE}: {expected} under it, `{{ {name} = … }}`");
        }
        _ => {}
    }
    error
}

/// A name that stands as a table's key is part of the path; the choice itself is one step above.
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

fn describe_rust_type(rust: &str) -> &str {
    match rust {
        "f32" | "f64" => "a number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, not negative",
        _ if rust.starts_with("a nonzero ") => "a whole number above 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
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
    fn each_kind_of_message_is_recognised() {
        let cases = [
            ("unknown field `a`, expected `b` or `c`", "x.a", "x.a", "unknown key `a`", "unknown-key"),
            ("unknown variant `a`, expected `b`", "x", "x", "unknown choice `a`", "unknown-choice"),
            ("unknown variant `a`, expected `b`", "x.a", "x", "unknown choice `a`", "unknown-choice"),
            ("missing field `a`", "x[1]", "x[1].a", "`a` is missing", "missing-key"),
            (
                "`gla` cannot stand as a bare word: missing field `a`",
                "x[1]",
                "x[1].gla.a",
                "`a` is missing",
                "missing-key",
            ),
            (
                "invalid type: string \"a, expected b\", expected f64",
                "x",
                "x",
                "expected a number, found string \"a, expected b\"",
                "value",
            ),
            ("invalid type: map, expected a sequence", "x", "x", "expected a list, found a table", "value"),
            (
                "`and` cannot stand as a bare word: invalid type: map, expected a sequence",
                "x",
                "x.and",
                "`and` cannot stand as a bare word: expected a list under it, `{ and = … }`",
                "value",
            ),
            ("must be even", "x", "x", "must be even", "value"),
        ];
        for (message, found_at, path, said, kind) in cases {
            assert_eq!(parsed(message, found_at), (path.to_owned(), said.to_owned(), kind), "{message}");
        }
    }

    #[test]
    fn the_legal_words_are_kept() {
        let error = parse_serde_message(
            "unknown field `stpes`, expected one of `steps`, `tokens`, `name`",
            KeyPath::parse("stpes"),
        );
        assert_eq!(error.help().unwrap(), "did you mean `steps`? keys here: steps, tokens, name");
        let error = parse_serde_message("unknown field `a`, there are no fields", KeyPath::parse("a"));
        assert_eq!(error.help().unwrap(), "remove `a`: no key may stand here");
    }
}
