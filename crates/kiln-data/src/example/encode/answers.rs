//! The trained parts of a conversation: what the assistant writes.
//!
//! Three ways are tried, in this order:
//!
//! 1. The template marks the text of the assistant with `{% generation %}`: these marks.
//! 2. The difference of two renderings: of the conversation up to an answer, with it and without it. The prompt for an answer
//!    (`add_generation_prompt`) is not part of it, the end of the turn is.
//! 3. Where a later rendering differs from an earlier one, an example of its own for the answer, which ends there. Templates
//!    that drop earlier thinking, or move the tools to the last question, do so. Answers whose text stays the same share an
//!    example.
//!
//! A template that renders a conversation without its answer to another beginning than with it cannot be split. It is refused.

use crate::{ChatTemplate, ChatTemplateOptions, DataError, example::ChatVariables};
use serde_json::Value;
use std::ops::Range;

/// A text and its trained parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerText {
    /// The text.
    pub text: String,
    /// Trained parts: ranges of bytes, in order.
    pub spans: Vec<Range<usize>>,
    /// Whether a template wrote the text, with all special tokens in it.
    pub is_rendered: bool,
}

/// Why a conversation cannot be trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatProblem {
    /// There is no chat template.
    NoTemplate,
    /// The template fails, or refuses the conversation.
    Template(String),
    /// The template renders the conversation before a message (counted from 1) to another text than with the message.
    CannotSplit(usize),
    /// The template marks another number of answers than the conversation has.
    Marks {
        /// Marks of the template.
        marks: usize,
        /// Messages of the assistant.
        answers: usize,
    },
    /// An answer of a preference that the template renders to several texts.
    SeveralTexts,
    /// A prompt and an answer of different types.
    Mixed,
}

impl AnswerText {
    /// A text after a prompt, without a template.
    pub fn plain(prompt: &str, answer: &str) -> Self {
        let text = format!("{prompt}{answer}");
        Self { spans: vec![prompt.len()..text.len()], text, is_rendered: false }
    }
}

impl ChatProblem {
    /// What is wrong, and what to do.
    pub fn message(&self) -> (String, &'static str) {
        const OTHER_TEMPLATE: &str = "choose another template with `data.template`: a file with `{% generation %}` marks, or \
                                      `chatml`";
        match self {
            Self::NoTemplate => ("there is no chat template".into(), OTHER_TEMPLATE),
            Self::Template(reason) => (reason.clone(), "change the conversation, or the template (`data.template`)"),
            Self::CannotSplit(message) => (
                format!(
                    "the chat template cannot be split before message {message}: it renders the messages before it to another \
                     text than with it, and has no `{{% generation %}}` marks"
                ),
                OTHER_TEMPLATE,
            ),
            Self::Marks { marks, answers } => (
                format!(
                    "the chat template marks {marks} answers in a conversation with {answers} messages of the assistant, of \
                     which not all are trained"
                ),
                "leave out `weight`, or choose another template with `data.template`",
            ),
            Self::SeveralTexts => (
                "the chat template renders an earlier answer differently later on, but a preference compares two texts"
                    .into(),
                "keep one message of the assistant after the prompt",
            ),
            Self::Mixed => (
                "the prompt and the answer are a text and a list of messages".into(),
                "write both as texts, or both as lists of messages",
            ),
        }
    }
}

/// The texts of a conversation with their trained parts; empty if nothing is trained. Messages of the assistant from
/// `first_trained` on are trained, unless their `weight` is 0.
///
/// # Errors
/// [`ChatProblem`] if there is no template, or if it cannot render or split the conversation.
pub fn find_answers(
    template: Option<&ChatTemplate>,
    messages: &[Value],
    variables: &ChatVariables,
    first_trained: usize,
) -> Result<Vec<AnswerText>, ChatProblem> {
    let template = template.ok_or(ChatProblem::NoTemplate)?;
    let chat = Conversation { template, messages, variables };
    let answers: Vec<usize> = chat.assistant_messages().collect();
    let is_trained = |message: &usize| *message >= first_trained && messages[*message]["weight"].as_f64() != Some(0.0);
    let trained: Vec<usize> = answers.iter().copied().filter(|message| is_trained(message)).collect();
    if trained.is_empty() {
        // Still rendered, so that a role that the template refuses is found.
        chat.render(messages.len(), false)?;
        return Ok(Vec::new());
    }
    let whole = template.render_with_spans(messages, &chat.options(false)).map_err(|error| template_problem(&error))?;
    match whole.generation_spans {
        Some(spans) if trained.len() == answers.len() => Ok(chat.marked(whole.text, spans)),
        Some(spans) if spans.len() == answers.len() => {
            let spans = spans.into_iter().zip(answers).filter(|(_, message)| is_trained(message)).map(|(span, _)| span);
            Ok(chat.marked(whole.text, spans.collect()))
        }
        Some(spans) => Err(ChatProblem::Marks { marks: spans.len(), answers: answers.len() }),
        None => chat.by_difference(&whole.text, &trained),
    }
}

/// The reason of a template's error.
fn template_problem(error: &DataError) -> ChatProblem {
    ChatProblem::Template(error.to_string())
}

/// A conversation and its template.
struct Conversation<'a> {
    template: &'a ChatTemplate,
    messages: &'a [Value],
    variables: &'a ChatVariables,
}

impl Conversation<'_> {
    fn assistant_messages(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.messages.len()).filter(|message| self.messages[*message]["role"] == "assistant")
    }

    fn options(&self, add_generation_prompt: bool) -> ChatTemplateOptions {
        ChatTemplateOptions {
            add_generation_prompt,
            tools: self.variables.tools.clone(),
            template_kwargs: self.variables.template_kwargs.clone(),
            ..ChatTemplateOptions::default()
        }
    }

    /// The first `count` messages.
    fn render(&self, count: usize, add_generation_prompt: bool) -> Result<String, ChatProblem> {
        let rendered = self.template.render(&self.messages[..count], &self.options(add_generation_prompt));
        rendered.map_err(|error| template_problem(&error))
    }

    /// The text with the marks of the template.
    fn marked(&self, text: String, spans: Vec<Range<usize>>) -> Vec<AnswerText> {
        let spans: Vec<Range<usize>> = spans.into_iter().filter(|span| !span.is_empty()).collect();
        if spans.is_empty() { Vec::new() } else { vec![AnswerText { text, spans, is_rendered: true }] }
    }

    /// The texts by differences of renderings: the latest first, then those whose answers it renders differently.
    fn by_difference(&self, whole: &str, trained: &[usize]) -> Result<Vec<AnswerText>, ChatProblem> {
        let mut texts: Vec<AnswerText> = Vec::new();
        for message in trained.iter().rev() {
            let Some((text, span)) = self.answer(*message, whole)? else { continue };
            match texts.last_mut() {
                Some(later) if later.text.starts_with(&text) => later.spans.insert(0, span),
                _ => texts.push(AnswerText { text, spans: vec![span], is_rendered: true }),
            }
        }
        texts.reverse();
        Ok(texts)
    }

    /// The text up to the end of an answer, and the answer in it; `None` for an answer without text.
    fn answer(&self, message: usize, whole: &str) -> Result<Option<(String, Range<usize>)>, ChatProblem> {
        let is_last = message + 1 == self.messages.len();
        let text = if is_last { whole.to_owned() } else { self.render(message + 1, false)? };
        let before = match self.render(message, false) {
            Ok(before) => before,
            // Many templates need a first message.
            Err(_) => return Err(ChatProblem::CannotSplit(message + 1)),
        };
        let Some(turn) = text.strip_prefix(before.as_str()) else {
            return Err(ChatProblem::CannotSplit(message + 1));
        };
        let with_prompt = self.render(message, true)?;
        let prompt = with_prompt.strip_prefix(before.as_str()).unwrap_or_default();
        let start = before.len() + prompt_length(prompt, turn, &self.messages[message]);
        Ok((start < text.len()).then(|| (text.clone(), start..text.len())))
    }
}

/// Bytes at the beginning of a turn that the prompt for an answer gives. The prompt may contain more than the turn, such as the
/// beginning of a thought; it ends at the first difference, and before the text of the message.
fn prompt_length(prompt: &str, turn: &str, message: &Value) -> usize {
    let same = turn.char_indices().zip(prompt.chars()).take_while(|((_, a), b)| a == b);
    let length = same.last().map_or(0, |((at, c), _)| at + c.len_utf8());
    if length == prompt.len() {
        return length;
    }
    let texts = ["reasoning_content", "thinking", "content"].iter().filter_map(|key| message[*key].as_str());
    let starts = texts.map(str::trim).filter(|text| !text.is_empty()).filter_map(|text| turn.find(text));
    starts.min().map_or(length, |start| length.min(start))
}
