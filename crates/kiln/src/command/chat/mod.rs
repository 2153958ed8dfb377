//! `kiln chat MODEL`: a conversation in the terminal, formatted by the model's chat template.
//!
//! ```console
//! kiln chat models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --system "Answer in one sentence."
//! echo "Why is the sky blue?" | kiln chat models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
//! ```
//!
//! Each line of standard input is one message, or a command such as `/help` (see [`slash_command`]); the conversation ends
//! with the input. The key-value cache of the earlier turns is reused if the template renders them unchanged at the start
//! of the next prompt.
//!
//! On a terminal, Ctrl-C ends the answer, and the text so far stays in the conversation. Errors do not end the conversation.
//!
//! JSON: `{"messages":[{"role","content"}],"turns":[{"tokens","read_before"}]}`, where `read_before` counts the cached tokens.

mod input;
mod json_files;
mod session;
mod slash_command;
mod terminal;

use super::{
    device_args::{ArithmeticArgs, DeviceArgs, DtypeArgs},
    error::CliError,
    generation_args::GenerationArgs,
    interrupt,
    model_args::ModelArgs,
    output::CommandOutput,
};
use input::Input;
use json_files::{read_objects, read_template_kwargs};
use serde_json::{Map, Value};
use session::ChatSession;
use std::path::PathBuf;
use terminal::converse;

/// Arguments of `kiln chat`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// System prompt.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// JSON file with the tools that the chat template offers to the model: a list of JSON schemas. The model's calls are
    /// printed, not run.
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
    /// JSON file with the documents that the chat template gives to the model: a list of objects.
    #[arg(long, value_name = "FILE")]
    documents: Option<PathBuf>,
    /// Further variables of the chat template, as a JSON object: {"enable_thinking":false}.
    #[arg(long, value_name = "JSON")]
    chat_template_kwargs: Option<String>,
    #[command(flatten)]
    generation: GenerationArgs,
    /// Do not reuse the key-value cache of earlier turns (slower).
    #[arg(long, alias = "anew")]
    no_prefix_cache: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    dtype: DtypeArgs,
    #[command(flatten)]
    arithmetic: ArithmeticArgs,
}

/// What the chat template receives besides the messages.
struct TemplateInputs {
    tools: Option<Vec<Value>>,
    documents: Option<Vec<Value>>,
    kwargs: Map<String, Value>,
}

/// Reads messages and commands from standard input, until its end, and prints the replies. Empty lines are ignored.
///
/// Fails before the weights are loaded if the model has no chat template.
pub fn run(args: &Args, json: bool) -> Result<CommandOutput, CliError> {
    args.generation.check()?;
    let arithmetic = args.arithmetic.arithmetic(&args.device)?;
    let inputs = TemplateInputs {
        tools: args.tools.as_deref().map(|path| read_objects(path, "--tools")).transpose()?,
        documents: args.documents.as_deref().map(|path| read_objects(path, "--documents")).transpose()?,
        kwargs: read_template_kwargs(args.chat_template_kwargs.as_deref())?,
    };
    let source = args.model.source()?;
    // For a run this depends on the objective, which is known after loading.
    if source.run_folder().is_none() {
        kiln_infer::request::check_can_generate(&source.config()?)?;
    }
    let template = source.chat_template()?.ok_or_else(|| {
        CliError::failed("chat", "the model has no chat template")
            .with_location(args.model.model.display().to_string())
            .with_help("use `kiln generate` to continue a text without a template")
    })?;
    let device = args.device.open()?;
    let loaded = source.load_as(&device, args.dtype.precision(&device)?)?;
    let input = Input::open()?;
    // Without a terminal, Ctrl-C ends the program as usual.
    let interrupted = if input.is_terminal() { Some(interrupt::listen_during_answers()?) } else { None };
    let mut session = ChatSession::new(args, &loaded, &template, inputs, arithmetic, json)?;
    converse(&mut session, input, interrupted)?;
    Ok(CommandOutput::new(session.to_json(), ""))
}
