//! Wildcard matching of parameter and layer names, in which `*` matches any characters, including none and dots.
//!
//! Used for weight-decay groups, frozen parameters and the target modules of adapters.

/// Returns whether `pattern` matches the whole `name`.
///
/// ```
/// use kiln_spec::wildcard::matches;
/// assert!(matches("blocks.*.attention.*", "blocks.3.attention.o.weight"));
/// assert!(!matches("attention", "blocks.3.attention"));
/// ```
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut literals = pattern.split('*');
    let Some(mut rest) = literals.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut literals: Vec<&str> = literals.collect();
    let Some(last) = literals.pop() else { return rest.is_empty() };
    // The earliest occurrence of each literal leaves the most text for the following ones.
    for literal in literals {
        let Some(start) = rest.find(literal) else { return false };
        rest = &rest[start + literal.len()..];
    }
    rest.ends_with(last)
}

/// Returns whether `pattern` matches the whole `name` or its end after a dot.
///
/// `q`, `attention.q` and `*.q` all match `blocks.0.attention.q`. This is the rule of `target_modules` in `peft`.
pub fn matches_suffix(pattern: &str, name: &str) -> bool {
    matches(pattern, name) || matches(&format!("*.{pattern}"), name)
}

#[cfg(test)]
mod tests {
    use super::{matches, matches_suffix};

    #[test]
    fn a_star_matches_any_characters() {
        for (pattern, name, expected) in [
            ("embedding", "embedding", true),
            ("embedding", "embedding.weight", false),
            ("*.bias", "blocks.0.attention.q.bias", true),
            ("*norm*", "blocks.0.attention_norm.norm.weight", true),
            ("*norm*", "blocks.0.attention.q.weight", false),
            ("blocks.*.attention.*", "blocks.3.attention.o.weight", true),
            ("blocks.*.attention.*", "blocks.3.feed_forward.up.weight", false),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_end_of_a_name_after_a_dot_matches() {
        for (pattern, name, expected) in [
            ("q", "blocks.0.attention.q", true),
            ("attention.q", "blocks.0.attention.q", true),
            ("attention.q", "blocks.0.cross_attention.q", false),
            ("q", "q", true),
            ("q", "blocks.0.attention.iq", false),
            ("blocks.0.*", "blocks.0.attention.q", true),
            ("blocks.0", "blocks.0.attention.q", false),
        ] {
            assert_eq!(matches_suffix(pattern, name), expected, "{pattern} {name}");
        }
    }
}
