//! Groups of things by their names, in which `*` stands for any characters.

/// Whether `name` fits `pattern`: `blocks.*.attention.*`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// Whether the whole name or its end after a dot fits: `q`, `attention.q` and `*.q` all fit `blocks.0.attention.q`.
pub fn matches_suffix(pattern: &str, name: &str) -> bool {
    matches(pattern, name) || matches(&format!("*.{pattern}"), name)
}

#[cfg(test)]
mod tests {
    use super::{matches, matches_suffix};

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, fits) in [
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
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn an_end_after_a_dot_is_enough() {
        for (pattern, name, fit) in [
            ("q", "blocks.0.attention.q", true),
            ("attention.q", "blocks.0.attention.q", true),
            ("attention.q", "blocks.0.cross_attention.q", false),
            ("q", "q", true),
            ("q", "blocks.0.attention.iq", false),
            ("blocks.0.*", "blocks.0.attention.q", true),
            ("blocks.0", "blocks.0.attention.q", false),
        ] {
            assert_eq!(matches_suffix(pattern, name), fit, "{pattern} {name}");
        }
    }
}
