//! A tokenizer in GGUF metadata with as many tokens as the model has rows: programs that read GGUF files expect that.

use super::GgufTokenizer;
use std::collections::BTreeSet;

impl GgufTokenizer {
    /// Removes the tokens from id `rows` on, for which the model has no row, and all that names them. Returns the tokens.
    #[must_use]
    pub fn remove_tokens_from(&mut self, rows: usize) -> Vec<String> {
        if rows >= self.tokens.len() {
            return Vec::new();
        }
        let removed = self.tokens.split_off(rows);
        self.token_types.truncate(rows);
        self.scores.truncate(rows);
        let has_row = |id: &u32| (*id as usize) < rows;
        for role in self.roles.slots_mut() {
            *role = role.filter(has_row);
        }
        self.other_token_ids.retain(|_, id| has_row(id));
        // A merge is two tokens with a space between them.
        let names: BTreeSet<&str> = removed.iter().map(String::as_str).collect();
        self.merges.retain(|merge| !names.contains(merge.replacen(' ', "", 1).as_str()));
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TokenRoles;

    #[test]
    fn tokens_without_a_row_are_removed_with_their_roles_and_merges() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let roles = TokenRoles { eos: Some(1), pad: Some(4), ..TokenRoles::default() };
        let mut gguf = GgufTokenizer {
            tokens: names(&["a", "b", "ab", "abb", "[PAD]"]),
            token_types: vec![1, 1, 1, 1, 3],
            merges: names(&["a b", "ab b"]),
            roles,
            other_token_ids: [("eot".into(), 4), ("eom".into(), 1)].into(),
            ..GgufTokenizer::default()
        };
        assert_eq!(gguf.clone().remove_tokens_from(5), [""; 0]);
        assert_eq!(gguf.remove_tokens_from(3), ["abb", "[PAD]"]);
        assert_eq!((gguf.tokens.len(), gguf.token_types.len(), gguf.merges), (3, 3, names(&["a b"])));
        assert_eq!((gguf.roles.eos, gguf.roles.pad), (Some(1), None));
        assert_eq!(gguf.other_token_ids.into_iter().collect::<Vec<_>>(), [("eom".to_owned(), 1)]);
    }
}
