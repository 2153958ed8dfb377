//! Calls `generate` and `stop`.

use crate::{Answer, Session, SessionError, models::LoadedModel, tokens::token_text};
use kiln_data::{
    Tokenizer,
    chat::{ChatTemplateOptions, TemplateClock},
};
use kiln_infer::{FinishReason, GenerateOptions, Generator, InfillOptions, Sampling, TextStream, infill_text::BLANK};
use kiln_pretrained::{Pretrained, generation::GenerationConfig};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{cell::Cell, rc::Rc, time::Duration};

/// Arguments of the call `generate`.
#[derive(Deserialize)]
pub struct GenerateArguments {
    /// Id of the model.
    model: String,
    /// Text to continue, or with `___` to fill in.
    #[serde(default)]
    prompt: Option<String>,
    /// Conversation to answer, in place of a prompt: objects with `role` and `content`.
    #[serde(default)]
    messages: Option<Vec<Value>>,
    /// Settings by the names of `generation_config.json`, and `seed`.
    #[serde(default)]
    options: Map<String, Value>,
    /// Number of most likely tokens that are sent with each token; 0: also without its probability.
    #[serde(default)]
    alternatives: usize,
}

/// The call to stop.
#[derive(Deserialize)]
pub struct StopArguments {
    /// Id of the call `generate`.
    request: u64,
}

/// A text in generation.
struct Request<'a> {
    id: u64,
    stop_flag: Rc<Cell<bool>>,
    prompt_tokens: usize,
    stream: TextStream<'a>,
}

impl Session {
    /// Generates a text, token by token. An event is sent for each token.
    pub(crate) async fn generate(&self, id: u64, arguments: GenerateArguments) -> Result<Answer, SessionError> {
        let model = self.model(&arguments.model)?;
        let (settings, seed) = generation_settings(arguments.options)?;
        let pretrained = &model.pretrained;
        let mode = pretrained.generation.mode;
        let generator = Generator::new(&pretrained.model, &pretrained.tokenizer)?.with_mode(mode);
        let prompt = arguments.prompt.unwrap_or_default();
        if mode.infills.is_some() && (mode.generates.is_none() || prompt.contains(BLANK)) {
            return self.infill(&generator, &prompt, &settings, seed).await;
        }
        let ids = match &arguments.messages {
            Some(messages) => self.conversation_ids(pretrained, messages)?,
            None => generator.encode_prompt(&prompt)?,
        };
        let options = GenerateOptions::default().resolve(&settings, &pretrained.generation)?;
        let options = options.within_context(ids.len(), &settings, &pretrained.generation);
        let sampling = Sampling { seed, ..options.sampling };
        let options = GenerateOptions { sampling, alternatives: arguments.alternatives, ..options };
        let prompt_tokens = ids.len();
        let stream = match arguments.messages {
            Some(_) => generator.stream_with_cache(model.prefix_cache.take(), ids, &options)?,
            None => generator.stream_ids(ids, &options)?,
        };
        let stop_flag = Rc::new(Cell::new(false));
        self.generating.borrow_mut().insert(id, stop_flag.clone());
        let answer = self.read_stream(Request { id, stop_flag, prompt_tokens, stream }, &model).await;
        self.generating.borrow_mut().remove(&id);
        answer
    }

    /// Reads a text to its end.
    async fn read_stream(&self, mut request: Request<'_>, model: &LoadedModel) -> Result<Answer, SessionError> {
        let started = self.host.now();
        let (mut text, mut first, mut is_stopped) = (String::new(), None, false);
        let mut count = 0;
        while let Some(piece) = request.stream.next().await? {
            first.get_or_insert_with(|| self.host.now());
            let has_token = request.stream.ids().len() > count;
            count = request.stream.ids().len();
            self.host.emit(token_event(&request, has_token, &piece, &model.pretrained.tokenizer));
            text += &piece;
            self.host.yield_now().await;
            if request.stop_flag.get() {
                is_stopped = true;
                break;
            }
        }
        let now = self.host.now();
        let (prefill, total) = (first.unwrap_or(now).saturating_sub(started), now.saturating_sub(started));
        let ids = request.stream.ids().to_vec();
        let finish_reason = request.stream.finish_reason().map(FinishReason::name);
        let answer = json!({
            "text": text,
            "ids": ids,
            "finish_reason": if is_stopped { Some("stopped") } else { finish_reason },
            "prompt_tokens": request.prompt_tokens,
            "prompt_seconds": prefill.as_secs_f64(),
            "seconds": total.as_secs_f64(),
            "tokens_per_second": per_second(ids.len().saturating_sub(1), total.saturating_sub(prefill)),
        });
        model.prefix_cache.replace(request.stream.into_prefix_cache());
        Ok(answer.into())
    }

    /// Token ids of a conversation, up to the start of the next reply. The template writes all special tokens itself.
    fn conversation_ids(&self, model: &Pretrained, messages: &[Value]) -> Result<Vec<u32>, SessionError> {
        if let Some(error) = &model.chat_template_error {
            return Err(SessionError::new(error.kind(), error.to_string()).with_help(error.help()));
        }
        let Some(template) = &model.chat_template else {
            let error = SessionError::usage("the model has no chat template").at("messages");
            return Err(error.with_help("give a prompt instead of messages, or open a model that was trained to chat"));
        };
        let now = TemplateClock::from_unix(self.host.unix_time().max(0.0) as u64);
        let options = ChatTemplateOptions { add_generation_prompt: true, now: Some(now), ..Default::default() };
        Ok(model.tokenizer.encode(&template.render(messages, &options)?))
    }

    /// Fills in the blanks of a text.
    async fn infill(
        &self,
        generator: &Generator<'_>,
        prompt: &str,
        settings: &GenerationConfig,
        seed: u64,
    ) -> Result<Answer, SessionError> {
        let sampling = GenerateOptions::default().with_settings(settings, None).sampling;
        let options = InfillOptions { sampling: Sampling { seed, ..sampling }, ..InfillOptions::default() };
        let started = self.host.now();
        let output = generator.infill(&[prompt], &options).await?.remove(0);
        let seconds = self.host.now().saturating_sub(started);
        Ok(json!({
            "text": output.text,
            "ids": output.ids,
            "blanks": output.blanks,
            "finish_reason": "blanks",
            "prompt_tokens": null,
            "prompt_seconds": null,
            "seconds": seconds.as_secs_f64(),
            "tokens_per_second": per_second(output.ids.len(), seconds),
        })
        .into())
    }

    /// Ends a generation after its next token. One that has ended already is no error.
    pub(crate) fn stop(&self, arguments: &StopArguments) -> Result<Answer, SessionError> {
        if let Some(stop_flag) = self.generating.borrow().get(&arguments.request) {
            stop_flag.set(true);
        }
        Ok(json!({}).into())
    }
}

/// The settings of a request, and its seed.
///
/// # Errors
/// A setting of another type or out of range, or an unknown one.
fn generation_settings(mut options: Map<String, Value>) -> Result<(GenerationConfig, u64), SessionError> {
    let seed = match options.remove("seed") {
        None | Some(Value::Null) => 0,
        Some(seed) => seed.as_u64().ok_or_else(|| {
            SessionError::usage(format!("expected a whole number of at least 0, found {seed}")).at("options.seed")
        })?,
    };
    let in_options =
        |error: kiln_spec::ValidationError| SessionError::usage(error.reason).at(format!("options.{}", error.path));
    let settings = GenerationConfig::from_json(&Value::Object(options)).map_err(in_options)?;
    if let Some(unknown) = settings.unsupported.first() {
        return Err(SessionError::usage(format!("unsupported option: {unknown}")).at("options"));
    }
    GenerateOptions::default().with_settings(&settings, None).check().map_err(in_options)?;
    Ok((settings, seed))
}

/// The event of a token with the text that it adds. Text that was still open at the end has no token: its id is null.
fn token_event(request: &Request, has_token: bool, piece: &str, tokenizer: &Tokenizer) -> Value {
    let id = request.stream.ids().last().filter(|_| has_token);
    let mut token = json!({ "id": id, "text": piece });
    if let Some(last) = request.stream.tokens().last().filter(|_| has_token) {
        token["probability"] = last.probabilities.probability().into();
        let alternatives = last.probabilities.alternatives.iter().map(|other| {
            json!({ "id": other.id, "text": token_text(tokenizer, other.id), "probability": other.probability() })
        });
        token["alternatives"] = alternatives.collect();
    }
    json!({ "event": "token", "request": request.id, "token": token })
}

/// Tokens per second; `None` without tokens or time.
fn per_second(tokens: usize, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}
