//! From text to text.

use burn::tensor::Device;
use kiln_data::{Tokenizer, TokenizerConfig};
use kiln_infer::{GenerateError, Generator, Options, Sampling, Stop, block_on};
use kiln_models::{Model, ModelConfig};

fn tokenizer() -> Tokenizer {
    let byte: TokenizerConfig =
        kiln_spec::config::from_table([("kind".to_string(), "byte".into())].into_iter().collect()).unwrap_or_default();
    Tokenizer::train(&byte, ["Anna sah öfter Bäume. 🌳"].map(Ok)).expect("a tokenizer")
}

fn model(vocab: usize) -> Model {
    let mut config = ModelConfig { vocab, hidden: 32, ..ModelConfig::default() };
    config.blocks[0].repeat = 1;
    Model::init(&config, 5, &Device::flex())
}

fn options(seed: u64) -> Options {
    Options { sampling: Sampling { seed, ..Sampling::default() }, tokens: 40, chunk: Some(3) }
}

#[test]
fn the_pieces_of_a_stream_are_the_text() {
    let tokenizer = tokenizer();
    let model = model(tokenizer.vocab());
    let generator = Generator::new(&model, &tokenizer).expect("they belong together");
    for seed in 0..8 {
        let whole = block_on(generator.write(&["Bäume"], &options(seed))).expect("written").remove(0);
        let mut stream = generator.stream("Bäume", &options(seed)).expect("legal");
        let mut text = String::new();
        while let Some(piece) = block_on(stream.next()).expect("written") {
            text += &piece;
        }
        assert_eq!((text, stream.ids()), (whole.text, whole.ids.as_slice()));
        assert_eq!(stream.stopped_by(), Some(whole.stopped_by));
        assert!(matches!(whole.stopped_by, Stop::Eos | Stop::Tokens));
        assert_eq!(block_on(stream.next()).expect("the end"), None);
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let tokenizer = tokenizer();
    let error = Generator::new(&model(7), &tokenizer).expect_err("refused");
    assert!(matches!(error, GenerateError::Vocabulary { model: 7, .. }));
}

#[test]
fn an_empty_prompt_begins_a_text() {
    let tokenizer = tokenizer();
    let model = model(tokenizer.vocab());
    let generator = Generator::new(&model, &tokenizer).expect("they belong together");
    let written = block_on(generator.write(&["", "Anna"], &options(1))).expect("written");
    assert_eq!(written.len(), 2);
    assert!(written.iter().all(|w| !w.ids.is_empty() || w.stopped_by == Stop::Eos));
}
