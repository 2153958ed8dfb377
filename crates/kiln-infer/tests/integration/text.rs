//! Text generation and infilling with a tokenizer.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_data::{SpecialTokens, Tokenizer, TokenizerConfig};
use kiln_infer::{
    BLANK, FinishReason, GenerateError, GenerateOptions, Generator, InfillOptions, InfillRequest, Sampling, block_on,
    infill,
};
use kiln_kernels::exact::Arithmetic;
use kiln_models::{Model, ModelConfig, Visibility};
use kiln_nn::Context;
use kiln_spec::{Direction, DocumentSpan, Layout};

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

fn options(seed: u64) -> GenerateOptions {
    GenerateOptions {
        sampling: Sampling { seed, ..Sampling::default() },
        max_new_tokens: 40,
        prefill_chunk_size: Some(3),
        ..GenerateOptions::default()
    }
}

#[test]
fn the_pieces_of_a_stream_concatenate_to_the_text() {
    let tokenizer = tokenizer();
    let model = model(tokenizer.vocab_size());
    let generator = Generator::new(&model, &tokenizer).expect("matching vocabularies");
    for seed in 0..8 {
        let whole = block_on(generator.generate(&["Bäume"], &options(seed))).expect("written").remove(0);
        let mut stream = generator.stream("Bäume", &options(seed)).expect("legal");
        let mut text = String::new();
        while let Some(piece) = block_on(stream.next()).expect("written") {
            text += &piece;
        }
        assert_eq!((text, stream.ids()), (whole.text, whole.ids.as_slice()));
        assert_eq!(stream.finish_reason(), Some(whole.finish_reason));
        assert!(matches!(whole.finish_reason, FinishReason::Eos | FinishReason::MaxTokens));
        assert_eq!(block_on(stream.next()).expect("the end"), None);
    }
}

#[test]
fn a_tokenizer_of_another_model_is_an_error() {
    let tokenizer = tokenizer();
    let error = Generator::new(&model(7), &tokenizer).expect_err("an error");
    assert!(matches!(error, GenerateError::VocabMismatch { model: 7, .. }));
}

#[test]
fn an_empty_prompt_starts_a_text() {
    let tokenizer = tokenizer();
    let model = model(tokenizer.vocab_size());
    let generator = Generator::new(&model, &tokenizer).expect("matching vocabularies");
    let written = block_on(generator.generate(&["", "Anna"], &options(1))).expect("written");
    assert_eq!(written.len(), 2);
    assert!(written.iter().all(|w| !w.ids.is_empty() || w.finish_reason == FinishReason::Eos));
}

fn masked_model(tokenizer: &Tokenizer) -> Model {
    model(tokenizer.vocab_size()).with_visibility(Visibility::Bidirectional)
}

#[test]
fn blanks_are_filled_and_the_rest_is_unchanged() {
    let tokenizer = tokenizer();
    let model = masked_model(&tokenizer);
    let generator = Generator::new(&model, &tokenizer).expect("matching vocabularies");
    for (text, tokens, at_once) in [("___", 1, true), ("Anna ___ Bäume.___", 2, false), ("______ sah", 1, false)] {
        let options = InfillOptions { mask_length: tokens, parallel: at_once, ..InfillOptions::default() };
        let filled = block_on(generator.infill(&[text, text], &options)).expect("filled");
        for filled in filled {
            let expected = filled.blanks.iter().fold(text.to_string(), |text, blank| text.replacen(BLANK, blank, 1));
            // A single byte may not be a character; then the text contains a replacement character.
            assert_eq!(filled.ids.len(), filled.blanks.len() * tokens);
            assert!(expected == filled.text || filled.text.contains('\u{FFFD}'), "{expected} {}", filled.text);
            assert!(filled.ids.iter().all(|id| !tokenizer.is_special(*id)));
        }
    }
}

/// Reference: fills the most confident mask, then processes the whole text again.
fn infill_reference(model: &Model, mut text: Vec<u32>, mask: u32, suppressed: &[u32]) -> Vec<u32> {
    while text.contains(&mask) {
        let piece = DocumentSpan { length: text.len(), start: 0, direction: Direction::Bidirectional };
        let layout = Layout::packed(&[vec![piece]], text.len());
        let ids: Vec<i32> = text.iter().map(|id| *id as i32).collect();
        let ids = Tensor::from_data(TensorData::new(ids, [1, text.len()]), &model.device());
        let hidden = model.forward(ids, &mut Context::new(&layout, &model.device())).squeeze_dim::<2>(0);
        let logits: Vec<f32> = model.logits(hidden).into_data().iter::<f32>().collect();
        let mut best = (0.0, 0, 0);
        for (place, logits) in logits.chunks(model.config().vocab).enumerate().filter(|(place, _)| text[*place] == mask)
        {
            let allowed = |id: &usize| !suppressed.contains(&(*id as u32));
            let sum: f64 = (0..logits.len()).filter(allowed).map(|id| f64::from(logits[id]).exp()).sum();
            for id in (0..logits.len()).filter(allowed) {
                let probability = f64::from(logits[id]).exp() / sum;
                best = if probability > best.0 { (probability, place, id as u32) } else { best };
            }
        }
        text[best.1] = best.2;
    }
    text
}

#[test]
fn the_most_confident_mask_is_filled_first() {
    let tokenizer = tokenizer();
    let (model, mask) = (masked_model(&tokenizer), tokenizer.special_tokens().mask);
    let suppressed: Vec<u32> = (0..SpecialTokens::count() as u32).collect();
    let texts = [vec![60, mask, 70, mask, mask, 80], vec![mask, 99, mask], vec![mask; 7]];
    let blanks = |at_once| InfillRequest {
        texts: texts.to_vec(),
        mask_token_id: mask,
        suppress_tokens: suppressed.clone(),
        sampling: Sampling::greedy(),
        parallel: at_once,
        arithmetic: Arithmetic::Fast,
    };
    let filled = block_on(infill(&model, blanks(false))).expect("filled");
    for (text, filled) in texts.iter().zip(&filled) {
        assert_eq!(*filled, infill_reference(&model, text.clone(), mask, &suppressed));
    }
    // The test is only meaningful if the order matters.
    assert_ne!(filled, block_on(infill(&model, blanks(true))).expect("filled"));
}

#[test]
fn blanks_are_decoded_as_they_are_encoded() {
    let bpe =
        Tokenizer::train(&TokenizerConfig::default(), ["the cat and the cat and the hat"; 9].map(Ok)).expect("bpe");
    for tokenizer in [tokenizer(), bpe] {
        let model = masked_model(&tokenizer);
        let generator = Generator::new(&model, &tokenizer).expect("matching vocabularies");
        let mask = tokenizer.special_tokens().mask;
        let lead = tokenizer.vocabulary().has_leading_spaces();
        let space = if lead { vec![] } else { tokenizer.encode(" ") };
        let tokens = [tokenizer.encode("the"), space, vec![mask], tokenizer.encode(" cat")].concat();
        assert_eq!(generator.decode_with_blanks(&tokens).expect("tokens"), "the ___ cat");
        let whole = block_on(generator.infill(&["the ___ cat"], &InfillOptions::default())).expect("filled").remove(0);
        assert_eq!(whole.ids.len(), 1);
        let spaces = if lead { "the" } else { "the " };
        assert_eq!(whole.text, format!("{spaces}{} cat", whole.blanks[0]));
    }
}

#[test]
fn invalid_infilling_is_an_error() {
    let tokenizer = tokenizer();
    let (reads, writes) = (masked_model(&tokenizer), model(tokenizer.vocab_size()));
    let error = |model: &Model, text: &str, infill_options: &InfillOptions| {
        let generator = Generator::new(model, &tokenizer).expect("matching vocabularies");
        block_on(generator.infill(&[text], infill_options)).expect_err("an error")
    };
    let defaults = InfillOptions::default();
    assert!(matches!(error(&reads, "no blank", &defaults), GenerateError::NoBlank { row: 0 }));
    assert!(matches!(error(&writes, "a ___", &defaults), GenerateError::NoInfilling));
    let none = InfillOptions { mask_length: 0, ..InfillOptions::default() };
    assert!(matches!(error(&reads, "a ___", &none), GenerateError::InvalidOption(_)));
    let generator = Generator::new(&reads, &tokenizer).expect("matching vocabularies");
    assert!(matches!(generator.stream("a", &options(0)), Err(GenerateError::Bidirectional)));
}
