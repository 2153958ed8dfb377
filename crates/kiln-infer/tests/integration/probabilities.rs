//! Probabilities of generated tokens against the model's logits of the whole text.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_data::{Tokenizer, TokenizerConfig};
use kiln_infer::{
    GenerateOptions, GenerateRequest, GeneratedToken, Generation, Generator, LogitsProcessors, Sampling, block_on,
};
use kiln_models::{Model, ModelConfig};
use kiln_nn::Context;
use kiln_spec::{Direction, DocumentSpan, Layout};
use proptest::prelude::*;

fn model(vocab: usize) -> Model {
    let mut config = ModelConfig { vocab, hidden: 32, ..ModelConfig::default() };
    config.blocks[0].repeat = 1;
    Model::init(&config, 5, &Device::flex())
}

fn tokens(model: &Model, request: GenerateRequest) -> Vec<GeneratedToken> {
    let mut generation = Generation::new(model, request).expect("a legal request");
    let mut tokens = Vec::new();
    while let Some(new) = block_on(generation.next()).expect("finite logits") {
        tokens.extend(new);
    }
    tokens
}

/// Reference: logits of the token after a text, without cached state.
fn next_logits(model: &Model, text: &[u32]) -> Vec<f64> {
    let document = DocumentSpan { length: text.len(), start: 0, direction: Direction::Causal };
    let layout = Layout::packed(&[vec![document]], text.len());
    let ids: Vec<i32> = text.iter().map(|id| *id as i32).collect();
    let ids = Tensor::from_data(TensorData::new(ids, [1, text.len()]), &model.device());
    let hidden = model.forward(ids, &mut Context::new(&layout, &model.device()));
    let logits = model.logits(hidden.narrow(1, text.len() - 1, 1).squeeze_dim::<2>(1));
    logits.into_data().iter::<f32>().map(f64::from).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The penalty and the temperature change which tokens are chosen, but not the probabilities that are reported.
    #[test]
    fn every_row_has_the_softmax_of_its_logits(
        prompts in prop::collection::vec(prop::collection::vec(0u32..17, 1..6), 1..4),
        temperature in prop_oneof![Just(0.0), Just(1.7)],
        repetition_penalty in prop_oneof![Just(1.0), Just(2.0)],
        alternatives in 1usize..30,
    ) {
        let (model, vocab) = (model(17), 17);
        let request = GenerateRequest {
            prompts: prompts.clone(),
            processors: LogitsProcessors { repetition_penalty, ..LogitsProcessors::default() },
            sampling: Sampling { temperature, top_k: Some(5), ..Sampling::default() },
            max_new_tokens: 5,
            alternatives,
            ..GenerateRequest::default()
        };
        let without = tokens(&model, GenerateRequest { alternatives: 0, ..request.clone() });
        prop_assert!(without.iter().all(|token| token.probabilities.is_none()));
        let with = tokens(&model, request);
        let ids = |tokens: &[GeneratedToken]| tokens.iter().map(|token| (token.row, token.id)).collect::<Vec<_>>();
        prop_assert_eq!(ids(&with), ids(&without));
        let mut texts = prompts;
        for token in with {
            let logits = next_logits(&model, &texts[token.row]);
            let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
            let expected = |id: u32| logits[id as usize] - sum.ln();
            let found = token.probabilities.expect("probabilities");
            prop_assert!((found.log_probability - expected(token.id)).abs() < 1e-4);
            prop_assert_eq!(found.alternatives.len(), alternatives.min(vocab));
            for alternative in &found.alternatives {
                prop_assert!((alternative.log_probability - expected(alternative.id)).abs() < 1e-4);
            }
            let order = |pair: &[kiln_infer::Alternative]| pair[0].log_probability >= pair[1].log_probability;
            prop_assert!(found.alternatives.windows(2).all(order));
            let sum: f64 = found.alternatives.iter().map(|alternative| alternative.probability()).sum();
            prop_assert_eq!((sum - 1.0).abs() < 1e-9, alternatives >= vocab);
            if temperature == 0.0 && repetition_penalty == 1.0 {
                prop_assert_eq!(found.alternatives[0].id, token.id);
                prop_assert_eq!(found.alternatives[0].log_probability, found.log_probability);
            }
            texts[token.row].push(token.id);
        }
    }
}

#[test]
fn the_texts_of_the_tokens_concatenate_to_the_text() {
    let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), ["Anna sah Bäume."].map(Ok));
    let tokenizer = tokenizer.expect("a tokenizer");
    let model = model(tokenizer.vocab_size());
    let generator = Generator::new(&model, &tokenizer).expect("matching vocabularies");
    for seed in 0..8 {
        let sampling = Sampling { seed, ..Sampling::default() };
        let plain = GenerateOptions { sampling, max_new_tokens: 40, ..GenerateOptions::default() };
        let without = block_on(generator.generate(&["Bäume"], &plain)).expect("a text").remove(0);
        assert!(without.tokens.is_empty());
        // Ends within the text where a stop text occurs, and withholds text that could be its beginning.
        let middle: String = without.text.chars().skip(9).take(1).collect();
        for stop in [vec![], vec![middle]] {
            let options = GenerateOptions { alternatives: 3, stop, ..plain.clone() };
            let whole = block_on(generator.generate(&["Bäume"], &options)).expect("a text").remove(0);
            let mut stream = generator.stream("Bäume", &options).expect("a legal request");
            let mut text = String::new();
            while let Some(piece) = block_on(stream.next()).expect("a text") {
                text += &piece;
            }
            assert_eq!(stream.tokens(), whole.tokens);
            assert_eq!(whole.tokens.iter().map(|token| token.text.as_str()).collect::<String>(), text);
            assert_eq!(text, whole.text);
            assert_eq!(whole.tokens.iter().map(|token| token.id).collect::<Vec<_>>(), whole.ids);
            assert!(options.stop.is_empty() && whole.text == without.text || whole.text.len() < without.text.len());
        }
    }
}
