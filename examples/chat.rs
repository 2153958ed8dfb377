//! Load a pretrained model and chat with it.
//!
//! `echo "Why is the sky blue?" | cargo run --release --example chat -- MODEL` prints a reply to each line of standard
//! input. MODEL is a Hugging Face folder or id, or a .gguf file, with a chat template.

use kiln::data::chat::{ChatTemplateOptions, chat_message};
use kiln::prelude::*;
use std::error::Error;
use std::io::{self, BufRead, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let source = std::env::args().nth(1).ok_or("usage: chat MODEL")?;
    let Pretrained { model, tokenizer, chat_template, generation, .. } = Pretrained::load(source)?;
    let template = chat_template.ok_or("the model has no chat template")?;
    let generator = Generator::new(&model, &tokenizer)?.with_mode(generation.mode);
    let options = GenerateOptions {
        sampling: Sampling { temperature: 0.7, top_p: Some(0.95), ..Sampling::default() },
        max_new_tokens: 128,
        stop_token_ids: generation.stop_token_ids,
        ..GenerateOptions::default()
    };
    let template_options = ChatTemplateOptions { add_generation_prompt: true, ..ChatTemplateOptions::default() };

    let mut messages = Vec::new();
    let mut prefix_cache = None;
    for line in io::stdin().lock().lines() {
        messages.push(chat_message("user", &line?));
        let ids = tokenizer.encode(&template.render(&messages, &template_options)?);
        // The key-value cache of the earlier turns is reused if the prompt starts with their tokens.
        let mut stream = generator.stream_with_cache(prefix_cache.take(), ids, &options)?;
        let mut reply = String::new();
        while let Some(chunk) = block_on(stream.next())? {
            print!("{chunk}");
            io::stdout().flush()?;
            reply.push_str(&chunk);
        }
        println!();
        prefix_cache = stream.into_prefix_cache();
        messages.push(chat_message("assistant", &reply));
    }
    Ok(())
}
