//! The text of a prompt and its continuation is that of the whole sequence.

use burn::tensor::Device;
use kiln_data::{Tokenizer, tokenizer::convert};
use kiln_infer::{GenerateOptions, Generator, Sampling, block_on};
use kiln_models::{Model, ModelConfig};
use std::path::Path;

/// SentencePiece models put a space in front of each text, which their decoders remove.
fn tokenizer(name: &str) -> Tokenizer {
    let file = format!("../kiln-data/fixtures/tokenizers/{name}.model");
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a fixture");
    convert::parse_sentencepiece(&bytes).expect("a model").to_tokenizer().expect("a tokenizer")
}

/// A model with more rows than the tokenizer has tokens.
fn padded_model(tokenizer: &Tokenizer) -> Model {
    let mut config = ModelConfig { vocab: tokenizer.vocab_size() + 60, hidden: 32, ..ModelConfig::default() };
    config.blocks[0].repeat = 1;
    Model::init(&config, 5, &Device::flex())
}

fn options(seed: u64) -> GenerateOptions {
    let sampling = Sampling { seed, ..Sampling::default() };
    GenerateOptions { sampling, max_new_tokens: 30, ..GenerateOptions::default() }
}

#[test]
fn prompt_and_text_are_the_text_of_the_whole_sequence() {
    let mut num_spaces = 0;
    let mut num_unassigned = 0;
    for name in ["spm_bpe", "spm_unigram"] {
        let tokenizer = tokenizer(name);
        let model = padded_model(&tokenizer);
        let generator = Generator::new(&model, &tokenizer).expect("more rows than tokens are legal");
        for seed in 0..12 {
            let prompts = ["the quick brown", "the fox"];
            let texts = block_on(generator.generate(&prompts, &options(seed))).expect("written");
            for (prompt, written) in prompts.iter().zip(&texts) {
                let ids = tokenizer.encode_prompt(generator.mode().generates.expect("generates").first_token, prompt);
                let whole = tokenizer.decode(&[&ids[..], &written.ids].concat()).expect("decodes");
                assert_eq!(tokenizer.decode(&ids).expect("decodes") + &written.text, whole, "{name}");
                num_spaces += usize::from(written.text.starts_with(' '));
                num_unassigned += written.ids.iter().filter(|id| !tokenizer.has_token(**id)).count();
            }
            let mut stream = generator.stream(prompts[0], &options(seed)).expect("legal");
            let mut text = String::new();
            while let Some(piece) = block_on(stream.next()).expect("an id without a token has no text") {
                text += &piece;
            }
            assert_eq!(text, texts[0].text, "{name}");
        }
    }
    assert!(num_spaces > 3 && num_unassigned > 20, "{num_spaces} {num_unassigned}");
}

/// The answer to a rendered conversation is a text of its own: its first word has no space in front.
#[test]
fn an_answer_begins_without_a_space() {
    let tokenizer = tokenizer("spm_bpe");
    let model = padded_model(&tokenizer);
    let generator = Generator::new(&model, &tokenizer).expect("legal");
    for seed in 0..12 {
        let prompt = tokenizer.encode("[INST] the fox [/INST]");
        let mut stream = generator.stream_with_cache(None, prompt, &options(seed)).expect("legal");
        let mut text = String::new();
        while let Some(piece) = block_on(stream.next()).expect("written") {
            text += &piece;
        }
        assert_eq!(text, tokenizer.decode(stream.ids()).expect("decodes"));
    }
}
