//! Example → sequences of tokens with loss weights.
//!
//! `answers` finds the trained parts of a rendered conversation, `tokens` turns parts of a text into tokens.
//!
//! # Tokens at the border of a trained part
//!
//! A token is trained if it holds at least one byte of the trained part, so that a token which straddles a border is trained.
//! `transformers` counts the same way for `return_assistant_tokens_mask` (`char_to_token` of the first and the last character).

pub mod answers;
#[cfg(test)]
mod tests;
mod tokens;

use super::{ChatVariables, Example, ExampleKind, LocatedExample, TextOrMessages, format};
use crate::{ChatTemplate, DataError, TokenRole, Tokenizer};
use answers::{AnswerText, ChatProblem, find_answers};
use serde_json::Value;
use std::ops::Range;

/// A sequence of tokens of an example, and which of them are trained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedSequence {
    /// Token ids, special tokens included.
    pub tokens: Vec<u32>,
    /// Ranges of trained tokens, in order: their loss weight as targets is 1, that of all others is 0. `None`: all are trained.
    pub answers: Option<Vec<Range<u32>>>,
    /// Bytes of the trained text.
    pub num_bytes: usize,
}

/// Sequences that belong together and are packed into one row. Their places in the group: chosen 0, rejected 1; anchor 0,
/// positive 1, negatives from 2.
pub type EncodedGroup = Vec<EncodedSequence>;

/// Encoder of examples for one tokenizer and one chat template.
pub struct ExampleEncoder<'a> {
    tokenizer: &'a Tokenizer,
    template: Option<&'a ChatTemplate>,
    /// Special tokens at the beginning of a text.
    leading: Vec<u32>,
}

/// Result of encoding an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoded {
    /// Groups of sequences. A conversation has several if the template renders an earlier answer differently later on.
    Groups(Vec<EncodedGroup>),
    /// Nothing in the example is trained.
    NoAnswer,
}

impl<'a> ExampleEncoder<'a> {
    /// An encoder. Conversations need a template.
    pub fn new(tokenizer: &'a Tokenizer, template: Option<&'a ChatTemplate>) -> Self {
        Self { tokenizer, template, leading: tokens::leading_tokens(tokenizer) }
    }

    /// Checks that an example can be encoded, without a tokenizer: that the template renders it and that its answers are found.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn check(example: &LocatedExample, template: Option<&ChatTemplate>) -> Result<(), DataError> {
        let parts = split_example(&example.example, template);
        parts.map(drop).map_err(|problem| problem.into_error(example, template.is_some()))
    }

    /// The sequences of an example.
    ///
    /// # Errors
    /// [`DataError::BadExample`] with the place of the row if the template refuses it, [`DataError::NoChatTemplate`] for a
    /// conversation without a template, [`DataError::TokenWithoutRow`] for a token that the model lacks.
    pub fn encode(&self, example: &LocatedExample) -> Result<Encoded, DataError> {
        let located = |problem: ChatProblem| problem.into_error(example, self.template.is_some());
        let groups = match split_example(&example.example, self.template).map_err(located)? {
            Parts::NoAnswer => return Ok(Encoded::NoAnswer),
            Parts::Plain(text) => {
                let tokens = self.tokenizer.encode(&text);
                vec![vec![EncodedSequence { tokens, answers: None, num_bytes: text.len() }]]
            }
            Parts::Texts(texts) => vec![texts.iter().map(|text| self.encode_whole(text)).collect::<Result<_, _>>()?],
            Parts::Groups(groups) => {
                let encode = |group: &Vec<AnswerText>| group.iter().map(|text| self.encode_answers(text)).collect();
                groups.iter().map(encode).collect::<Result<Vec<EncodedGroup>, _>>()?
            }
        };
        let rows = self.tokenizer.vocabulary().model_rows();
        for sequence in groups.iter().flatten() {
            self.tokenizer.check_rows(&sequence.tokens, rows)?;
        }
        let has_answer = |group: &EncodedGroup| {
            let is_trained =
                |sequence: &EncodedSequence| sequence.answers.as_ref().is_none_or(|answers| !answers.is_empty());
            group.iter().all(|sequence| is_trained(sequence) && !sequence.tokens.is_empty())
        };
        let groups: Vec<EncodedGroup> = groups.into_iter().filter(has_answer).collect();
        Ok(if groups.is_empty() { Encoded::NoAnswer } else { Encoded::Groups(groups) })
    }

    /// Tokens of a text with trained parts.
    fn encode_answers(&self, text: &AnswerText) -> Result<EncodedSequence, DataError> {
        let (mut ids, offsets) = self.tokenizer.encode_with_ranges(&text.text)?;
        let mut answers = tokens::token_spans(&offsets, &text.spans);
        if !text.is_rendered {
            // A template writes the special tokens itself.
            let special = self.tokenizer.special_tokens();
            let leading: &[u32] = if special.begins_text(&ids) { &[] } else { &self.leading };
            tokens::shift(&mut answers, leading.len() as u32);
            ids.splice(..0, leading.iter().copied());
            if special.has_role(TokenRole::Eos) {
                if ids.last() != Some(&special.eos) {
                    ids.push(special.eos);
                }
                tokens::extend_to(&mut answers, ids.len() as u32);
            }
        }
        let num_bytes = text.spans.iter().map(Range::len).sum();
        Ok(EncodedSequence { tokens: ids, answers: Some(answers), num_bytes })
    }

    /// Tokens of a whole text with the special tokens that the model expects.
    fn encode_whole(&self, text: &str) -> Result<EncodedSequence, DataError> {
        let tokens = tokens::model_input(self.tokenizer, text)?;
        Ok(EncodedSequence { tokens, answers: None, num_bytes: text.len() })
    }
}

/// The texts of an example.
enum Parts {
    /// Groups of texts with trained parts.
    Groups(Vec<Vec<AnswerText>>),
    /// One group of whole texts.
    Texts(Vec<String>),
    /// Plain text, to which the corpus adds the special tokens.
    Plain(String),
    NoAnswer,
}

/// The texts of an example, before they are tokenized.
fn split_example(example: &Example, template: Option<&ChatTemplate>) -> Result<Parts, ChatProblem> {
    let alone = |texts: Vec<AnswerText>| match texts.is_empty() {
        true => Parts::NoAnswer,
        false => Parts::Groups(texts.into_iter().map(|text| vec![text]).collect()),
    };
    Ok(match example {
        Example::Text(text) | Example::Labeled { text, .. } => Parts::Plain(text.clone()),
        Example::Pair { anchor, positive, negatives } => {
            Parts::Texts([anchor, positive].into_iter().chain(negatives).cloned().collect())
        }
        Example::Chat { messages, variables } => alone(find_answers(template, messages, variables, 0)?),
        Example::PromptCompletion { prompt, completion, variables } => {
            alone(continuation(template, prompt, completion, variables)?)
        }
        Example::Preference { prompt, chosen, rejected, variables } => {
            let [chosen, rejected] = [chosen, rejected]
                .map(|answer| continuation(template, prompt, answer, variables).and_then(only_answer));
            match (chosen?, rejected?) {
                (Some(chosen), Some(rejected)) => Parts::Groups(vec![vec![chosen, rejected]]),
                _ => Parts::NoAnswer,
            }
        }
    })
}

/// The texts of an answer after a prompt: one, unless the template renders an earlier answer differently later on.
fn continuation(
    template: Option<&ChatTemplate>,
    prompt: &TextOrMessages,
    answer: &TextOrMessages,
    variables: &ChatVariables,
) -> Result<Vec<AnswerText>, ChatProblem> {
    match (prompt, answer) {
        (TextOrMessages::Text(_), TextOrMessages::Text(answer)) if answer.is_empty() => Ok(Vec::new()),
        (TextOrMessages::Text(prompt), TextOrMessages::Text(answer)) => Ok(vec![AnswerText::plain(prompt, answer)]),
        (TextOrMessages::Messages(prompt), TextOrMessages::Messages(answer)) => {
            let messages: Vec<Value> = prompt.iter().chain(answer).cloned().collect();
            find_answers(template, &messages, variables, prompt.len())
        }
        _ => Err(ChatProblem::Mixed),
    }
}

/// The only text of an answer of a preference, whose log-probability is one number.
fn only_answer(mut texts: Vec<AnswerText>) -> Result<Option<AnswerText>, ChatProblem> {
    match texts.len() {
        0 | 1 => Ok(texts.pop()),
        _ => Err(ChatProblem::SeveralTexts),
    }
}

/// A row of `instruction` as a prompt with a completion, if that is the kind of its source: for a model without a template.
pub(crate) fn example_of_kind(located: LocatedExample, kind: ExampleKind) -> LocatedExample {
    match located.example {
        Example::Chat { messages, variables } if kind == ExampleKind::PromptCompletion => {
            let (prompt, completion) = format::alpaca_prompt(&messages);
            let [prompt, completion] = [prompt, completion].map(TextOrMessages::Text);
            LocatedExample { example: Example::PromptCompletion { prompt, completion, variables }, ..located }
        }
        example => LocatedExample { example, ..located },
    }
}

impl ChatProblem {
    /// The error for the row of `example`.
    fn into_error(self, example: &LocatedExample, has_template: bool) -> DataError {
        let (path, line) = (example.path.clone(), example.line);
        if !has_template && self == Self::NoTemplate {
            return DataError::NoChatTemplate { origin: path, kind: example.example.kind() };
        }
        let (reason, help) = self.message();
        DataError::BadExample { path, line, reason, help }
    }
}
