//! `chat`: a conversation in the terminal, by the model's own template.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    model_args::ModelArgs,
    output::{CommandOutput, print_chunk, print_message},
};
use kiln_data::chat::{ChatTemplate, ChatTemplateOptions, TemplateClock, chat_message};
use kiln_infer::{GenerateOptions, Generator, PrefixCache, Sampling, block_on};
use kiln_train::pretrained::LoadedModel;
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    time::{SystemTime, UNIX_EPOCH},
};

/// Arguments of `chat`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// System prompt.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Maximum number of new tokens per reply.
    #[arg(long, alias = "tokens", value_name = "N", default_value_t = 512)]
    max_new_tokens: usize,
    /// Random seed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Sampling temperature. 0: greedy decoding.
    #[arg(long, value_name = "T", default_value_t = 0.7, allow_negative_numbers = true)]
    temperature: f64,
    /// Nucleus sampling: sample from the most likely tokens with total probability P.
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    top_p: f64,
    /// Do not reuse the key-value cache of earlier turns (slower).
    #[arg(long, alias = "anew")]
    no_prefix_cache: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Holds it: a line of standard input is a message; the end of input ends it.
pub fn run(args: &Args, json: bool) -> Result<CommandOutput, CliError> {
    let wrong = |refusal: kiln_spec::ValidationError| {
        CliError::usage(refusal.reason).with_location(super::generate::flag_name(&refusal.path))
    };
    args.sampling().check("").map_err(wrong)?;
    let place = args.model.source()?;
    // What a run does with a text its objective says, once it is loaded.
    if place.run_folder().is_none() {
        kiln_infer::request::check_can_generate(&place.config()?)?;
    }
    let chat = place.chat()?.ok_or_else(|| {
        let help = "`kiln generate` goes on from any text";
        CliError::failed("chat", "the model has no chat template")
            .with_location(args.model.model.display().to_string())
            .with_help(help)
    })?;
    let loaded = place.load(&args.device.open()?)?;
    let messages: Vec<Value> = args.system.iter().map(|text| chat_message("system", text)).collect();
    let mut talk =
        ChatSession { args, chat, loaded, messages, prefix_cache: None, turn_stats: Vec::new(), quiet: json };
    let terminal = io::stdin().is_terminal();
    if terminal {
        print_message("a line is a message; Ctrl-D ends");
    }
    let mut lines = io::stdin().lock().lines();
    loop {
        if terminal {
            // A prompt that can't be shown is missed by nobody.
            let _ = write!(io::stderr(), "> ").and_then(|()| io::stderr().flush());
        }
        let Some(line) = lines.next() else { break };
        let line = line.map_err(|error| CliError::failed("io", format!("cannot read standard input: {error}")))?;
        if !line.trim().is_empty() {
            talk.respond(&line)?;
        }
    }
    Ok(CommandOutput::new(json!({ "messages": talk.messages, "turns": talk.turn_stats }), ""))
}

/// A conversation so far.
struct ChatSession<'a> {
    args: &'a Args,
    chat: ChatTemplate,
    loaded: LoadedModel,
    messages: Vec<Value>,
    /// What the model has read of it.
    prefix_cache: Option<PrefixCache>,
    /// Of each turn: tokens that the template made of the conversation, and how many of them the model had read before.
    turn_stats: Vec<Value>,
    quiet: bool,
}

impl ChatSession<'_> {
    fn respond(&mut self, line: &str) -> Result<(), CliError> {
        self.messages.push(chat_message("user", line));
        let ids = self.prompt_ids()?;
        let reading = self.prefix_cache.take().filter(|reading| reading.extends(&ids) && !self.args.no_prefix_cache);
        let known = reading.as_ref().map_or(0, |reading| reading.tokens().len());
        self.turn_stats.push(json!({ "tokens": ids.len(), "read_before": known }));
        let (args, loaded) = (self.args, &self.loaded);
        let options = GenerateOptions {
            sampling: args.sampling(),
            max_new_tokens: args.max_new_tokens,
            stop_token_ids: loaded.stop_tokens.clone(),
            ..GenerateOptions::default()
        };
        let generator = Generator::new(&loaded.model, &loaded.tokenizer)?.with_mode(loaded.generation_mode);
        let mut stream = generator.stream_with_cache(reading, ids, &options)?;
        let show = |text: &str| if self.quiet { Ok(()) } else { print_chunk(text) };
        let mut answer = String::new();
        while let Some(more) = block_on(stream.next())? {
            show(&more)?;
            answer.push_str(&more);
        }
        show("\n")?;
        self.prefix_cache = stream.into_prefix_cache();
        self.messages.push(chat_message("assistant", &answer));
        Ok(())
    }

    /// The conversation as the model reads it. The template says all of it: nothing is added to its tokens.
    fn prompt_ids(&self) -> Result<Vec<u32>, CliError> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = Some(TemplateClock::from_unix(seconds));
        let options = ChatTemplateOptions { add_generation_prompt: true, now, ..ChatTemplateOptions::default() };
        Ok(self.loaded.tokenizer.encode(&self.chat.render(&self.messages, &options)?))
    }
}

impl Args {
    fn sampling(&self) -> Sampling {
        let Self { temperature, top_p, seed, .. } = *self;
        Sampling { temperature, top_p: Some(top_p), seed, ..Sampling::default() }
    }
}
