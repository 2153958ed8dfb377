//! `chat`: a conversation in the terminal, by the model's own template.

use super::{
    host::HostArgs,
    output::{Answer, piece, say},
    place::place,
    trouble::Trouble,
};
use kiln_data::chat::{Chat, ChatOptions, Moment, message};
use kiln_infer::{Generator, Options, Sampling, block_on};
use kiln_train::pretrained::Loaded;
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

/// Arguments of `chat`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder with a config.json, or a .gguf file, that has a chat template.
    model: PathBuf,
    /// What stands before the conversation.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// At most so many tokens an answer.
    #[arg(long, value_name = "N", default_value_t = 512)]
    tokens: usize,
    /// Names the random numbers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Logits are divided by it; 0: always the likeliest token.
    #[arg(long, value_name = "T", default_value_t = 0.7, allow_negative_numbers = true)]
    temperature: f64,
    /// Only the likeliest tokens that hold this share of the probability.
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    top_p: f64,
    #[command(flatten)]
    host: HostArgs,
}

/// Holds it: a line of standard input is a message; the end of input ends it.
pub fn run(args: &Args, json: bool) -> Result<Answer, Trouble> {
    let wrong = |refusal: kiln_spec::Refusal| Trouble::asked(refusal.reason).at(super::generate::flag(&refusal.path));
    args.sampling().check("").map_err(wrong)?;
    let place = place(&args.model)?;
    let chat = place.chat()?.ok_or_else(|| {
        let help = "`kiln generate` goes on from any text";
        Trouble::failed("chat", "the model has no chat template").at(args.model.display().to_string()).help(help)
    })?;
    let loaded = place.load(&args.host.device()?)?;
    let mut messages: Vec<Value> = args.system.iter().map(|text| message("system", text)).collect();
    let terminal = io::stdin().is_terminal();
    if terminal {
        say("a line is a message; Ctrl-D ends");
    }
    let mut lines = io::stdin().lock().lines();
    loop {
        if terminal {
            // A prompt that can't be shown is missed by nobody.
            let _ = write!(io::stderr(), "> ").and_then(|()| io::stderr().flush());
        }
        let Some(line) = lines.next() else { break };
        let line = line.map_err(|error| Trouble::failed("io", format!("cannot read standard input: {error}")))?;
        if line.trim().is_empty() {
            continue;
        }
        messages.push(message("user", &line));
        let answer = args.answer(&chat, &loaded, &messages, json)?;
        messages.push(message("assistant", &answer));
    }
    Ok(Answer::new(json!({ "messages": messages }), ""))
}

impl Args {
    fn sampling(&self) -> Sampling {
        let Self { temperature, top_p, seed, .. } = *self;
        Sampling { temperature, top_p: Some(top_p), seed, ..Sampling::default() }
    }

    fn answer(&self, chat: &Chat, loaded: &Loaded, messages: &[Value], json: bool) -> Result<String, Trouble> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = Some(Moment::from_unix(seconds));
        let text =
            chat.render(messages, &ChatOptions { add_generation_prompt: true, now, ..ChatOptions::default() })?;
        // The template says all of it: nothing is added to its tokens.
        let ids = loaded.tokenizer.encode(&text);
        let options =
            Options { sampling: self.sampling(), tokens: self.tokens, stop: loaded.stop.clone(), ..Options::default() };
        let generator = Generator::new(&loaded.model, &loaded.tokenizer)?.with(loaded.usage);
        let mut stream = generator.stream_ids(ids, &options)?;
        let mut answer = String::new();
        while let Some(more) = block_on(stream.next())? {
            if !json {
                piece(&more)?;
            }
            answer.push_str(&more);
        }
        if !json {
            piece("\n")?;
        }
        Ok(answer)
    }
}
