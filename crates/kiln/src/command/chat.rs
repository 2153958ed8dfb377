//! `chat`: a conversation in the terminal, by the model's own template.

use super::{
    host::HostArgs,
    output::{Answer, piece, say},
    place::ModelArgs,
    trouble::Trouble,
};
use kiln_data::chat::{Chat, ChatOptions, Moment, message};
use kiln_infer::{Generator, Options, Reading, Sampling, block_on};
use kiln_train::pretrained::Loaded;
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
    /// Reads the whole conversation anew for each answer, which then takes longer.
    #[arg(long)]
    anew: bool,
    #[command(flatten)]
    host: HostArgs,
}

/// Holds it: a line of standard input is a message; the end of input ends it.
pub fn run(args: &Args, json: bool) -> Result<Answer, Trouble> {
    let wrong = |refusal: kiln_spec::Refusal| Trouble::asked(refusal.reason).at(super::generate::flag(&refusal.path));
    args.sampling().check("").map_err(wrong)?;
    let place = args.model.place()?;
    // What a run does with a text its objective says, once it is loaded.
    if place.run().is_none() {
        kiln_infer::request::writes(&place.config()?)?;
    }
    let chat = place.chat()?.ok_or_else(|| {
        let help = "`kiln generate` goes on from any text";
        Trouble::failed("chat", "the model has no chat template").at(args.model.model.display().to_string()).help(help)
    })?;
    let loaded = place.load(&args.host.device()?)?;
    let messages: Vec<Value> = args.system.iter().map(|text| message("system", text)).collect();
    let mut talk = Talk { args, chat, loaded, messages, reading: None, turns: Vec::new(), silent: json };
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
        if !line.trim().is_empty() {
            talk.answer(&line)?;
        }
    }
    Ok(Answer::new(json!({ "messages": talk.messages, "turns": talk.turns }), ""))
}

/// A conversation so far.
struct Talk<'a> {
    args: &'a Args,
    chat: Chat,
    loaded: Loaded,
    messages: Vec<Value>,
    /// What the model has read of it.
    reading: Option<Reading>,
    /// Of each turn: tokens that the template made of the conversation, and how many of them the model had read before.
    turns: Vec<Value>,
    silent: bool,
}

impl Talk<'_> {
    fn answer(&mut self, line: &str) -> Result<(), Trouble> {
        self.messages.push(message("user", line));
        let ids = self.ids()?;
        let reading = self.reading.take().filter(|reading| reading.goes_on(&ids) && !self.args.anew);
        let known = reading.as_ref().map_or(0, |reading| reading.tokens().len());
        self.turns.push(json!({ "tokens": ids.len(), "read_before": known }));
        let (args, loaded) = (self.args, &self.loaded);
        let options =
            Options { sampling: args.sampling(), tokens: args.tokens, stop: loaded.stop.clone(), ..Options::default() };
        let generator = Generator::new(&loaded.model, &loaded.tokenizer)?.with(loaded.usage);
        let mut stream = generator.stream_after(reading, ids, &options)?;
        let show = |text: &str| if self.silent { Ok(()) } else { piece(text) };
        let mut answer = String::new();
        while let Some(more) = block_on(stream.next())? {
            show(&more)?;
            answer.push_str(&more);
        }
        show("\n")?;
        self.reading = stream.into_reading();
        self.messages.push(message("assistant", &answer));
        Ok(())
    }

    /// The conversation as the model reads it. The template says all of it: nothing is added to its tokens.
    fn ids(&self) -> Result<Vec<u32>, Trouble> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = Some(Moment::from_unix(seconds));
        let options = ChatOptions { add_generation_prompt: true, now, ..ChatOptions::default() };
        Ok(self.loaded.tokenizer.encode(&self.chat.render(&self.messages, &options)?))
    }
}

impl Args {
    fn sampling(&self) -> Sampling {
        let Self { temperature, top_p, seed, .. } = *self;
        Sampling { temperature, top_p: Some(top_p), seed, ..Sampling::default() }
    }
}
