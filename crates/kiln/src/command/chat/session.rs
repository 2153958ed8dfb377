//! A conversation and the model it is held with.

use super::{Args, TemplateInputs};
use crate::command::{
    error::CliError,
    output::{print_chunk, print_message},
};
use kiln_data::chat::{ChatTemplate, ChatTemplateOptions, TemplateClock, chat_message};
use kiln_infer::{GenerateOptions, Generator, PrefixCache, Sampling, block_on};
use kiln_kernels::exact::Arithmetic;
use kiln_pretrained::Pretrained;
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// A conversation and the model it is held with.
pub struct ChatSession<'a> {
    args: &'a Args,
    loaded: &'a Pretrained,
    template: &'a ChatTemplate,
    inputs: TemplateInputs,
    /// Options of every reply, without the length of the context.
    options: GenerateOptions,
    messages: Vec<Value>,
    /// Key-value cache of the conversation so far.
    prefix_cache: Option<PrefixCache>,
    /// For each turn: number of prompt tokens, and how many of them were in the cache.
    turn_stats: Vec<Value>,
    /// Whether replies are not printed as they are generated.
    quiet: bool,
}

impl<'a> ChatSession<'a> {
    /// A conversation without messages but the system prompt. Fails if the model's generation settings are not valid.
    pub fn new(
        args: &'a Args,
        loaded: &'a Pretrained,
        template: &'a ChatTemplate,
        inputs: TemplateInputs,
        arithmetic: Arithmetic,
        quiet: bool,
    ) -> Result<Self, CliError> {
        let messages = args.system.iter().map(|text| chat_message("system", text)).collect();
        let options = args.generation.resolve(GenerateOptions { arithmetic, ..default_options() }, loaded)?;
        Ok(Self {
            args,
            loaded,
            template,
            inputs,
            options,
            messages,
            prefix_cache: None,
            turn_stats: Vec::new(),
            quiet,
        })
    }

    /// The result with `--json`.
    pub fn to_json(&self) -> Value {
        json!({ "messages": self.messages, "turns": self.turn_stats })
    }

    pub fn messages(&self) -> &[Value] {
        &self.messages
    }

    /// The system prompt.
    pub fn system(&self) -> Option<&str> {
        self.messages.first().filter(|message| message["role"] == "system")?["content"].as_str()
    }

    /// Removes all messages but the system prompt.
    pub fn reset(&mut self) {
        let kept = usize::from(self.system().is_some());
        self.messages.truncate(kept);
        self.prefix_cache = None;
    }

    /// Sets the system prompt. The other messages stay.
    pub fn set_system(&mut self, text: &str) {
        let replaced = usize::from(self.system().is_some());
        self.messages.splice(..replaced, [chat_message("system", text)]);
        self.prefix_cache = None;
    }

    /// Adds a user message, generates the reply and adds it. `interrupted` ends the reply; the text so far stays, and
    /// without text the user message is removed again. An error removes the user message too.
    ///
    /// The cache is truncated to the tokens that the conversation starts with; `--no-prefix-cache` drops it.
    pub fn respond(&mut self, message: &str, interrupted: Option<&AtomicBool>) -> Result<(), CliError> {
        self.messages.push(chat_message("user", message));
        match self.generate(interrupted) {
            Ok(Some(reply)) => self.messages.push(chat_message("assistant", &reply)),
            Ok(None) => {
                self.messages.pop();
                print_message("no answer yet: the message was removed from the conversation");
            }
            Err(error) => {
                self.messages.pop();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The reply to the conversation; `None` if it was interrupted before its first text.
    fn generate(&mut self, interrupted: Option<&AtomicBool>) -> Result<Option<String>, CliError> {
        let ids = self.prompt_ids()?;
        let num_tokens = ids.len();
        let prefix_cache = self.prefix_cache.take().filter(|_| !self.args.no_prefix_cache);
        let loaded = self.loaded;
        let flags = self.args.generation.settings();
        let options = self.options.clone().within_context(num_tokens, &flags, &loaded.generation);
        let generator = Generator::new(&loaded.model, &loaded.tokenizer)?.with_mode(loaded.generation.mode);
        let is_interrupted = || interrupted.is_some_and(|flag| flag.load(Ordering::SeqCst));
        // A Ctrl-C before this reply does not end it.
        interrupted.inspect(|flag| flag.store(false, Ordering::SeqCst));
        let mut stream = generator.stream_with_cache(prefix_cache, ids, &options)?;
        let cached_tokens = stream.num_cached_tokens();
        let mut reply = String::new();
        let mut was_interrupted = false;
        while let Some(chunk) = block_on(stream.next())? {
            self.print(&chunk)?;
            reply.push_str(&chunk);
            if is_interrupted() {
                was_interrupted = true;
                break;
            }
        }
        self.print("\n")?;
        interrupted.inspect(|flag| flag.store(false, Ordering::SeqCst));
        let reread_tokens = stream.reread_tokens();
        if let Some(tokens) = reread_tokens {
            print_message(&format!(
                "the conversation is now longer than the context that its positions were encoded for: its {tokens} tokens were \
                 read again"
            ));
        }
        let cached_tokens = if reread_tokens.is_some() { 0 } else { cached_tokens };
        self.prefix_cache = stream.into_prefix_cache();
        self.turn_stats.push(json!({ "tokens": num_tokens, "read_before": cached_tokens }));
        Ok((!was_interrupted || !reply.trim().is_empty()).then_some(reply))
    }

    /// Prints a part of a reply, unless the result is JSON.
    fn print(&self, text: &str) -> Result<(), CliError> {
        if self.quiet { Ok(()) } else { print_chunk(text) }
    }

    /// Tokens of the conversation, up to the start of the next reply. The template writes all special tokens itself.
    fn prompt_ids(&self) -> Result<Vec<u32>, CliError> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let options = ChatTemplateOptions {
            add_generation_prompt: true,
            tools: self.inputs.tools.clone(),
            documents: self.inputs.documents.clone(),
            template_kwargs: self.inputs.kwargs.clone(),
            now: Some(TemplateClock::from_unix(seconds)),
        };
        Ok(self.loaded.tokenizer.encode(&self.template.render(&self.messages, &options)?))
    }
}

/// The options of a chat with a model that has no settings of its own.
fn default_options() -> GenerateOptions {
    let sampling = Sampling { temperature: 0.7, top_p: Some(0.95), ..Sampling::default() };
    GenerateOptions { sampling, max_new_tokens: 512, ..GenerateOptions::default() }
}
