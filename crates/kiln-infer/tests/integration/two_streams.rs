//! Generation with encoder-decoder models.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_infer::{FinishReason, GenerateError, GenerateRequest, Generation, Sampling, block_on, generate};
use kiln_models::{Model, ModelConfig};
use kiln_nn::Context;
use kiln_spec::{Direction, DocumentSpan, Layout};
use proptest::prelude::*;

const VOCAB: u32 = 13;
const DECODER_START: u32 = 1;

fn model(position: &str) -> Model {
    let attention = |source: &str| {
        format!(
            "{{ parts = [{{ attention = {{ source = \"{source}\", projection = {{ heads = {{ heads = 2 }} }} }} }}] }}"
        )
    };
    let text = format!(
        "stack = \"encoder-decoder\"\nvocab = {VOCAB}\nhidden = 16\nposition = {position}\n[[blocks]]\nrepeat = 2\n\
         sublayers = [{}, {}, {{ parts = [\"gated_mlp\"] }}]",
        attention("self"),
        attention("cross"),
    );
    let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("a legal model");
    config.resolve();
    config.check("model").expect("a legal model");
    Model::init(&config, 7, &Device::flex())
}

fn request(prompts: &[Vec<u32>], tokens: usize) -> GenerateRequest {
    GenerateRequest {
        prompts: prompts.to_vec(),
        sampling: Sampling { temperature: 0.7, top_k: Some(9), seed: 3, ..Sampling::default() },
        max_new_tokens: tokens,
        stop_token_ids: Vec::new(),
        prefill_chunk_size: None,
        decoder_start_token_id: DECODER_START,
        ..GenerateRequest::default()
    }
}

fn single_row_layout(length: usize, direction: Direction) -> Layout {
    Layout::packed(&[vec![DocumentSpan { length, start: 0, direction }]], length)
}

fn ids(tokens: &[u32]) -> Tensor<2, burn::tensor::Int> {
    let ids: Vec<i32> = tokens.iter().map(|id| *id as i32).collect();
    Tensor::from_data(TensorData::new(ids, [1, tokens.len()]), &Device::flex())
}

/// Reference without cached state: encoder and decoder process everything for each token.
fn generate_uncached(model: &Model, prompt: &[u32], row_number: u64, sampling: &Sampling, tokens: usize) -> Vec<u32> {
    let mut text = vec![DECODER_START];
    for step in 0..tokens as u64 {
        let mut cx = Context::new(&single_row_layout(text.len(), Direction::Causal), &model.device());
        model.encode(ids(prompt), &single_row_layout(prompt.len(), Direction::Bidirectional), &mut cx);
        let hidden = model.forward(ids(&text), &mut cx);
        let logits = model.logits(hidden.narrow(1, text.len() - 1, 1).squeeze_dim::<2>(1)).into_data();
        text.push(sampling.sample(logits.as_slice::<f32>().expect("floats"), step, row_number).expect("finite"));
    }
    text.split_off(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn cached_generation_equals_uncached_generation(
        prompts in proptest::collection::vec(proptest::collection::vec(0..VOCAB, 1..9), 1..4), tokens in 1usize..9,
        position in prop::sample::select(vec!["\"none\"", "\"rotary\"", "{ learned = { max_position_embeddings = 12 } }"]),
    ) {
        let model = model(position);
        let request = request(&prompts, tokens);
        let outputs = block_on(generate(&model, request.clone())).expect("generated");
        for (number, (prompt, output)) in prompts.iter().zip(outputs).enumerate() {
            prop_assert_eq!(output.finish_reason, FinishReason::MaxTokens);
            prop_assert_eq!(output.ids, generate_uncached(&model, prompt, number as u64, &request.sampling, tokens));
        }
    }
}

#[test]
fn the_prompt_uses_no_positions_of_the_decoder() {
    let model = model("{ learned = { max_position_embeddings = 6 } }");
    let outputs = block_on(generate(&model, request(&[vec![2; 6], vec![3; 5]], 20))).expect("generated");
    assert_ne!(outputs[0].ids, outputs[1].ids);
    let ends: Vec<_> = outputs.iter().map(|output| (output.ids.len(), output.finish_reason)).collect();
    assert_eq!(ends, [(6, FinishReason::ContextLength); 2]);
    let error = Generation::new(&model, request(&[vec![1; 7]], 1)).map(|_| ()).expect_err("longer than the encoder");
    assert!(matches!(error, GenerateError::PromptTooLong { limit: 6, .. }));
    let wrong = GenerateRequest { decoder_start_token_id: VOCAB, ..request(&[vec![1]], 1) };
    let error = Generation::new(&model, wrong).map(|_| ()).expect_err("no such token").to_string();
    assert!(error.starts_with("decoder_start_token_id: "), "{error}");
}

#[test]
fn models_that_cannot_generate_are_errors() {
    let error_of = |text: &str| {
        let mut config: ModelConfig = kiln_spec::config::parse(text, None).expect("well formed");
        config.resolve();
        let model = Model::init(&config, 0, &Device::flex());
        Generation::new(&model, request(&[vec![1]], 1)).map(|_| ()).expect_err("cannot generate").to_string()
    };
    let encoder = error_of("stack = \"encoder\"\nvocab = 13\nhidden = 8");
    assert!(encoder.contains("cannot generate text") && encoder.contains("encoder-decoder"), "{encoder}");
    let head = error_of("head = \"class\"\nvocab = 13\nhidden = 8");
    assert!(head.contains("`class`") && head.contains("language"), "{head}");
}
