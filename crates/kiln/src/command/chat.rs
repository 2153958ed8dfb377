//! `kiln chat MODEL`: a conversation in the terminal, formatted by the model's chat template.
//!
//! ```console
//! kiln chat models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --system "Answer in one sentence."
//! echo "Why is the sky blue?" | kiln chat models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
//! ```
//!
//! Each line of standard input is one message; the conversation ends with the input. The key-value cache of the earlier turns
//! is reused if the template renders them unchanged at the start of the next prompt.
//!
//! JSON: `{"messages":[{"role","content"}],"turns":[{"tokens","read_before"}]}`, where `read_before` counts the cached tokens.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    generation_args::GenerationArgs,
    model_args::ModelArgs,
    output::{CommandOutput, print_chunk, print_message},
};
use kiln_data::chat::{ChatTemplate, ChatTemplateOptions, TemplateClock, chat_message};
use kiln_infer::{GenerateOptions, Generator, PrefixCache, Sampling, block_on};
use kiln_pretrained::Pretrained;
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    time::{SystemTime, UNIX_EPOCH},
};

/// Arguments of `kiln chat`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// System prompt.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Do not reuse the key-value cache of earlier turns (slower).
    #[arg(long, alias = "anew")]
    no_prefix_cache: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    generation: GenerationArgs,
}

/// Reads one message per line of standard input, until its end, and prints the replies. Empty lines are ignored.
///
/// Fails before the weights are loaded if the model has no chat template.
pub fn run(args: &Args, json: bool) -> Result<CommandOutput, CliError> {
    args.generation.check()?;
    let source = args.model.source()?;
    // For a run this depends on the objective, which is known after loading.
    if source.run_folder().is_none() {
        kiln_infer::request::check_can_generate(&source.config()?)?;
    }
    let chat = source.chat_template()?.ok_or_else(|| {
        CliError::failed("chat", "the model has no chat template")
            .with_location(args.model.model.display().to_string())
            .with_help("use `kiln generate` to continue a text without a template")
    })?;
    let loaded = source.load(&args.device.open()?)?;
    let messages = args.system.iter().map(|text| chat_message("system", text)).collect();
    let mut session =
        ChatSession { args, chat, loaded, messages, prefix_cache: None, turn_stats: Vec::new(), quiet: json };
    session.read_messages()?;
    Ok(CommandOutput::new(json!({ "messages": session.messages, "turns": session.turn_stats }), ""))
}

/// A conversation and the model it is held with.
struct ChatSession<'a> {
    args: &'a Args,
    chat: ChatTemplate,
    loaded: Pretrained,
    messages: Vec<Value>,
    /// Key-value cache of the conversation so far.
    prefix_cache: Option<PrefixCache>,
    /// For each turn: number of prompt tokens, and how many of them were in the cache.
    turn_stats: Vec<Value>,
    /// Whether replies are not printed as they are generated.
    quiet: bool,
}

impl ChatSession<'_> {
    /// On a terminal, `> ` is printed to standard error before each message.
    fn read_messages(&mut self) -> Result<(), CliError> {
        let is_terminal = io::stdin().is_terminal();
        if is_terminal {
            print_message("one message per line; Ctrl-D ends the conversation");
        }
        let mut lines = io::stdin().lock().lines();
        loop {
            if is_terminal {
                // Nothing is lost if the input marker cannot be written.
                let _ = write!(io::stderr(), "> ").and_then(|()| io::stderr().flush());
            }
            let Some(line) = lines.next() else { return Ok(()) };
            let line = line.map_err(|error| CliError::failed("io", format!("cannot read standard input: {error}")))?;
            if !line.trim().is_empty() {
                self.respond(&line)?;
            }
        }
    }

    /// Adds a user message, generates the reply and adds it.
    ///
    /// The cache is dropped if the conversation no longer starts with its tokens, or with `--no-prefix-cache`.
    fn respond(&mut self, message: &str) -> Result<(), CliError> {
        self.messages.push(chat_message("user", message));
        let ids = self.prompt_ids()?;
        let reusable = |cache: &PrefixCache| cache.extends(&ids) && !self.args.no_prefix_cache;
        let prefix_cache = self.prefix_cache.take().filter(reusable);
        let cached_tokens = prefix_cache.as_ref().map_or(0, |cache| cache.tokens().len());
        self.turn_stats.push(json!({ "tokens": ids.len(), "read_before": cached_tokens }));
        let loaded = &self.loaded;
        let generation = &self.args.generation;
        let options = generation.resolve(default_options(), loaded)?;
        let options = options.within_context(ids.len(), &generation.settings(), &loaded.generation);
        let generator = Generator::new(&loaded.model, &loaded.tokenizer)?.with_mode(loaded.generation.mode);
        let mut stream = generator.stream_with_cache(prefix_cache, ids, &options)?;
        let mut reply = String::new();
        while let Some(chunk) = block_on(stream.next())? {
            self.print(&chunk)?;
            reply.push_str(&chunk);
        }
        self.print("\n")?;
        self.prefix_cache = stream.into_prefix_cache();
        self.messages.push(chat_message("assistant", &reply));
        Ok(())
    }

    /// Prints a part of a reply, unless the result is JSON.
    fn print(&self, text: &str) -> Result<(), CliError> {
        if self.quiet { Ok(()) } else { print_chunk(text) }
    }

    /// Tokens of the conversation, up to the start of the next reply. The template writes all special tokens itself.
    fn prompt_ids(&self) -> Result<Vec<u32>, CliError> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = Some(TemplateClock::from_unix(seconds));
        let options = ChatTemplateOptions { add_generation_prompt: true, now, ..ChatTemplateOptions::default() };
        Ok(self.loaded.tokenizer.encode(&self.chat.render(&self.messages, &options)?))
    }
}

/// The options of a chat with a model that has no settings of its own.
fn default_options() -> GenerateOptions {
    let sampling = Sampling { temperature: 0.7, top_p: Some(0.95), ..Sampling::default() };
    GenerateOptions { sampling, max_new_tokens: 512, ..GenerateOptions::default() }
}
