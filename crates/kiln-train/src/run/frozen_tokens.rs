//! Comparison of the tokens of a frozen model with those of the model that is trained.

use kiln_data::{Tokenizer, Vocabulary};
use kiln_spec::ValidationError;

/// Checks that a frozen model with `rows` rows and `tokenizer` knows the tokens of `trained`, the tokenizer of the run.
///
/// The text of each ordinary token must be the same. Special tokens are not compared: files of one model name different
/// tokens as special, and most are never read. `model` describes the frozen model, `key` is its key in the recipe.
///
/// # Errors
/// The first token that differs.
pub(super) fn check_tokens(
    tokenizer: &Tokenizer,
    rows: usize,
    trained: &Tokenizer,
    model: &str,
    key: &str,
) -> Result<(), ValidationError> {
    let needed = trained.vocab_size().min(trained.vocabulary().model_rows());
    let reason = match first_difference(tokenizer.vocabulary(), trained.vocabulary()) {
        Some(id) => {
            let text =
                |tokenizer: &Tokenizer| String::from_utf8_lossy(tokenizer.vocabulary().token_bytes(id)).into_owned();
            format!(
                "{model} has another tokenizer: token {id} is {:?}, but {:?} in the model that is trained",
                text(tokenizer),
                text(trained)
            )
        }
        None if rows < needed => format!("{model} has {rows} tokens, but the model that is trained has {needed}"),
        None => return Ok(()),
    };
    let suggestion = "a model with the same tokenizer, or train on answers that the other model wrote (`completion`)";
    Err(ValidationError::new(key, reason).with_suggestion(suggestion))
}

/// The first token whose text differs; a token that one of them does not have counts as another text.
fn first_difference(found: &Vocabulary, trained: &Vocabulary) -> Option<u32> {
    let is_ordinary = |id: &u32| !found.is_special(*id) && !trained.is_special(*id);
    let ids = 0..found.size().max(trained.size()) as u32;
    ids.filter(is_ordinary).find(|id| found.token_bytes(*id) != trained.token_bytes(*id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::{DataError, TokenizerConfig};

    fn tokenizer(config: TokenizerConfig, text: &str) -> Tokenizer {
        Tokenizer::train(&config, [Ok::<_, DataError>(text)]).unwrap()
    }

    #[test]
    fn another_text_of_a_token_or_too_few_rows_are_refused() {
        let bytes = tokenizer(TokenizerConfig::Byte(Default::default()), "");
        let check = |found: &Tokenizer, rows| check_tokens(found, rows, &bytes, "the teacher in a", "key");
        check(&bytes, bytes.vocab_size()).unwrap();
        check(&bytes, bytes.vocab_size() + 64).unwrap();
        let error = check(&bytes, bytes.vocab_size() - 1).unwrap_err();
        assert_eq!(error.path, "key");
        let characters = tokenizer(TokenizerConfig::Character(Default::default()), "some other letters");
        let error = check(&characters, 4096).unwrap_err().to_string();
        assert!(error.contains("the teacher in a has another tokenizer: token "), "{error}");
    }
}
