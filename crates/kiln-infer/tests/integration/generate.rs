//! Generation from cached state against processing the whole text for each token.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_infer::{FinishReason, GenerateError, GenerateRequest, Generation, PrefixCache, Sampling, block_on, generate};
use kiln_kernels::exact::Arithmetic;
use kiln_models::{Model, ModelConfig, Visibility};
use kiln_nn::Context;
use kiln_spec::{DocumentSpan, Layout};
use proptest::prelude::*;

const VOCAB: u32 = 13;

fn config(position: &str, visibility: Visibility) -> ModelConfig {
    let text = format!(
        "vocab = {VOCAB}\nhidden = 16\nposition = {position}\n[[blocks]]\nrepeat = 2\nsublayers = [{}, {}]",
        r#"{ parts = [{ attention = { projection = { heads = { heads = 4, kv_heads = 2 } }, pattern = { window = { before = 5 } } } }] }"#,
        r#"{ parts = ["gated_mlp"] }"#,
    );
    let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("a legal model");
    config.visibility = visibility;
    config.resolve();
    config.check("model").expect("a legal model");
    config
}

fn model(position: &str, visibility: Visibility) -> Model {
    Model::init(&config(position, visibility), 7, &Device::flex())
}

fn request(prompts: &[Vec<u32>], tokens: usize) -> GenerateRequest {
    GenerateRequest {
        prompts: prompts.to_vec(),
        sampling: Sampling { temperature: 0.7, top_k: Some(9), seed: 3, ..Sampling::default() },
        max_new_tokens: tokens,
        stop_token_ids: Vec::new(),
        prefill_chunk_size: None,
        decoder_start_token_id: 0,
        ..GenerateRequest::default()
    }
}

/// Reference without cached state: the model processes the whole text for each token.
fn generate_uncached(model: &Model, prompt: &[u32], row: u64, sampling: &Sampling, tokens: usize) -> Vec<u32> {
    let (mut text, device) = (prompt.to_vec(), model.device());
    for step in 0..tokens as u64 {
        let direction = model.config().visibility.direction(prompt.len());
        let layout = Layout::packed(&[vec![DocumentSpan { length: text.len(), start: 0, direction }]], text.len());
        let ids: Vec<i32> = text.iter().map(|id| *id as i32).collect();
        let ids = Tensor::from_data(TensorData::new(ids, [1, text.len()]), &device);
        let hidden = model.forward(ids, &mut Context::new(&layout, &device));
        let logits = model.logits(hidden.narrow(1, text.len() - 1, 1).squeeze_dim::<2>(1)).into_data();
        text.push(sampling.sample(logits.as_slice::<f32>().expect("floats"), step, row).expect("finite"));
    }
    text[prompt.len()..].to_vec()
}

fn prompts() -> impl Strategy<Value = Vec<Vec<u32>>> {
    proptest::collection::vec(proptest::collection::vec(0..VOCAB, 1..9), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn cached_generation_equals_uncached_generation(
        prompts in prompts(), tokens in 1usize..9, chunk in proptest::option::of(1usize..5),
        position in prop::sample::select(vec!["\"none\"", "\"rotary\"", "{ learned = { max_position_embeddings = 40 } }"]),
        visibility in prop::sample::select(vec![Visibility::Causal, Visibility::Prefix]),
    ) {
        let model = model(position, visibility);
        let request = GenerateRequest { prefill_chunk_size: chunk, ..request(&prompts, tokens) };
        let outputs = block_on(generate(&model, request.clone())).expect("generated");
        for (row, (prompt, output)) in prompts.iter().zip(outputs).enumerate() {
            prop_assert_eq!(output.finish_reason, FinishReason::MaxTokens);
            prop_assert_eq!(output.ids, generate_uncached(&model, prompt, row as u64, &request.sampling, tokens));
        }
    }
}

#[test]
fn a_row_ends_at_a_stop_token_and_the_others_continue() {
    let model = model("\"rotary\"", Visibility::Causal);
    let prompts = [vec![1, 2, 3], vec![4], vec![5, 6, 7, 8, 9]];
    let long = block_on(generate(&model, request(&prompts, 12))).expect("generated");
    let stop = long[1].ids[4];
    let short = block_on(generate(&model, GenerateRequest { stop_token_ids: vec![stop], ..request(&prompts, 12) }))
        .expect("generated");
    for (long, short) in long.iter().zip(&short) {
        let end = long.ids.iter().position(|id| *id == stop);
        assert_eq!(short.ids, long.ids[..end.unwrap_or(12)]);
        assert_eq!(short.finish_reason, if end.is_some() { FinishReason::Eos } else { FinishReason::MaxTokens });
    }
    let lengths: Vec<usize> = short.iter().map(|output| output.ids.len()).collect();
    assert!(
        lengths.iter().any(|n| *n != lengths[0]),
        "all rows have the same length, the test shows nothing: {lengths:?}"
    );
}

#[test]
fn generation_ends_after_the_last_position() {
    let model = model("{ learned = { max_position_embeddings = 8 } }", Visibility::Causal);
    let outputs = block_on(generate(&model, request(&[vec![1, 2, 3], vec![4; 8]], 20))).expect("generated");
    let ends: Vec<_> = outputs.iter().map(|output| (output.ids.len(), output.finish_reason.name())).collect();
    assert_eq!(ends, [(6, "length"), (1, "length")]);
    let exact = block_on(generate(&model, request(&[vec![1, 2, 3]], 6))).expect("generated");
    assert_eq!((&exact[0].ids, exact[0].finish_reason.name()), (&outputs[0].ids, "tokens"));
}

#[test]
fn the_cache_of_a_window_is_as_long_as_the_window() {
    let model = model("\"rotary\"", Visibility::Causal);
    let mut generation = Generation::new(&model, request(&[vec![1; 9]], 30)).expect("legal");
    while block_on(generation.next()).expect("generated").is_some() {}
    // 2 layers, keys and values, 2 heads of 4 numbers, 6 tokens: the window and the token itself.
    assert_eq!(generation.state_bytes(), 2 * 2 * 2 * 4 * 6 * 4);
}

#[test]
fn a_model_with_gradients_generates_the_same_tokens() {
    let config = config("\"rotary\"", Visibility::Causal);
    let write = |device: Device| {
        block_on(generate(&Model::init(&config, 7, &device), request(&[vec![1, 2]], 6))).expect("generated")
    };
    assert_eq!(write(Device::flex()), write(Device::flex().autodiff()));
}

#[test]
fn no_prompts_or_no_tokens_give_no_output() {
    let model = model("\"rotary\"", Visibility::Causal);
    let none = block_on(generate(&model, request(&[vec![1]], 0))).expect("generated");
    assert_eq!((none[0].ids.len(), none[0].finish_reason), (0, FinishReason::MaxTokens));
    assert!(block_on(generate(&model, request(&[], 5))).expect("generated").is_empty());
}

#[test]
fn invalid_requests_are_errors() {
    let learned = model("{ learned = { max_position_embeddings = 8 } }", Visibility::Causal);
    let error = |model: &Model, request: GenerateRequest| match Generation::new(model, request) {
        Ok(_) => panic!("no error"),
        Err(error) => error,
    };
    let valid = request(&[vec![1]], 5);
    let text = |request: GenerateRequest| error(&learned, request).to_string();
    assert!(
        text(GenerateRequest { prompts: vec![vec![1], vec![]], ..valid.clone() }).starts_with("prompt 1 has no tokens")
    );
    assert!(
        text(GenerateRequest { prompts: vec![vec![1, 13]], ..valid.clone() })
            .starts_with("prompt 0 contains the token id 13")
    );
    assert!(text(GenerateRequest { prompts: vec![vec![1; 9]], ..valid.clone() }).starts_with("prompt 0 has 9 tokens"));
    assert!(text(GenerateRequest { prefill_chunk_size: Some(0), ..valid.clone() }).starts_with("prefill_chunk_size: "));
    let sampling = Sampling { top_p: Some(2.0), ..Sampling::default() };
    assert!(text(GenerateRequest { sampling, ..valid.clone() }).starts_with("top_p: "));
    let bidirectional = model("\"rotary\"", Visibility::Bidirectional);
    assert!(matches!(error(&bidirectional, valid), GenerateError::Bidirectional));
}

#[test]
fn nan_weights_are_an_error() {
    let model = model("\"rotary\"", Visibility::Causal);
    let mut values = kiln_infer::block_on(kiln_models::state_dict(&model)).expect("flex always answers");
    let name = "blocks.1.feed_forward.down.weight";
    let shape = values[name].shape().to_vec();
    values.insert(name.into(), TensorData::new(vec![f32::NAN; shape.iter().product()], shape));
    let model = kiln_models::load_state_dict(model, values).expect("the same names");
    let error = block_on(generate(&model, request(&[vec![1]], 5))).expect_err("broken").to_string();
    assert!(error.contains("not finite"), "{error}");
}

/// Three turns of a chat from a prefix cache must equal generation without a cache.
fn check_chat_turns(model: &Model, sampling: &Sampling, chunk: Option<usize>) {
    let mut text = vec![1, 2, 3, 4];
    let mut cache = None;
    let mut reused = 0;
    for turn in 0..3u32 {
        let request = GenerateRequest {
            sampling: sampling.clone(),
            prefill_chunk_size: chunk,
            ..request(std::slice::from_ref(&text), 4)
        };
        let fresh = block_on(generate(model, request.clone())).expect("generated").remove(0).ids;
        reused += cache.as_ref().map_or(0, |cache: &PrefixCache| cache.tokens().len());
        let mut generation = Generation::with_cache(model, request, cache).expect("legal");
        let mut ids = Vec::new();
        while let Some(tokens) = block_on(generation.next()).expect("generated") {
            ids.extend(tokens.into_iter().map(|token| token.id));
        }
        assert_eq!(ids, fresh, "turn {turn}");
        cache = generation.into_prefix_cache();
        let cached = cache.as_ref().expect("a causal decoder").tokens();
        // The last generated token was not processed.
        assert_eq!(cached, [&text[..], &ids[..3]].concat());
        text.extend(ids);
        text.extend([5 + turn, 6, 7]);
    }
    assert_eq!(reused, 7 + 14);
}

#[test]
fn generation_from_a_prefix_cache_equals_generation_without() {
    for position in ["\"none\"", "\"rotary\"", "{ learned = { max_position_embeddings = 40 } }"] {
        let model = model(position, Visibility::Causal);
        for chunk in [None, Some(2)] {
            check_chat_turns(&model, &Sampling::greedy(), chunk);
            check_chat_turns(&model, &Sampling { seed: 5, ..Sampling::default() }, chunk);
        }
    }
}

#[test]
fn a_cache_of_another_beginning_is_ignored() {
    let causal = model("\"rotary\"", Visibility::Causal);
    let cache_after = |model: &Model, text: &[u32]| {
        let mut generation = Generation::new(model, request(&[text.to_vec()], 3)).expect("legal");
        while block_on(generation.next()).expect("generated").is_some() {}
        generation.into_prefix_cache()
    };
    let cache = || cache_after(&causal, &[1, 2, 3]).expect("a causal decoder");
    let known = cache().tokens().to_vec();
    assert_eq!(known.len(), 5);
    let longer = [&known[..], &[9]].concat();
    let changed = [&[7][..], &longer[1..]].concat();
    assert!(cache().extends(&longer) && !cache().extends(&known) && !cache().extends(&changed));
    for text in [vec![known.clone()], vec![changed], vec![known[..2].to_vec()], vec![longer.clone(), vec![4]]] {
        let request = request(&text, 5);
        let expected = block_on(generate(&causal, request.clone())).expect("generated");
        let mut generation = Generation::with_cache(&causal, request, Some(cache())).expect("legal");
        let mut ids = vec![Vec::new(); text.len()];
        while let Some(tokens) = block_on(generation.next()).expect("generated") {
            tokens.into_iter().for_each(|token| ids[token.row].push(token.id));
        }
        assert!(expected.iter().map(|output| &output.ids).eq(&ids), "{text:?}");
        assert_eq!(generation.into_prefix_cache().is_some(), text.len() == 1);
    }
    // With prefix visibility, the hidden states of a prompt change when it grows: there is no cache.
    let prefix = model("\"rotary\"", Visibility::Prefix);
    assert!(cache_after(&prefix, &[1, 2, 3]).is_none());
    let request = request(std::slice::from_ref(&longer), 5);
    let expected = block_on(generate(&prefix, request.clone())).expect("generated").remove(0).ids;
    let mut generation = Generation::with_cache(&prefix, request, Some(cache())).expect("legal");
    let first = block_on(generation.next()).expect("generated").expect("a token");
    assert_eq!(first[0].id, expected[0]);
}

#[test]
fn exact_generation_is_the_same_alone_together_and_in_chunks() {
    let model = model("\"rotary\"", Visibility::Causal);
    let prompts = [vec![3, 1, 4, 1, 5, 9, 2, 6], vec![5], vec![3, 5, 8, 9, 7, 9, 3]];
    let greedy = |prompts: &[Vec<u32>], chunk| {
        let sampling = Sampling::greedy();
        let request = GenerateRequest { sampling, prefill_chunk_size: chunk, ..request(prompts, 12) };
        let request = GenerateRequest { arithmetic: Arithmetic::Exact, ..request };
        let outputs = block_on(generate(&model, request)).expect("generated");
        outputs.into_iter().map(|output| output.ids).collect::<Vec<_>>()
    };
    let together = greedy(&prompts, None);
    assert_eq!(greedy(&prompts, Some(3)), together);
    let alone: Vec<_> = prompts.iter().flat_map(|prompt| greedy(std::slice::from_ref(prompt), Some(1))).collect();
    assert_eq!(alone, together);
}

#[test]
fn a_prefix_cache_is_used_in_its_own_arithmetic_only() {
    let model = model("\"rotary\"", Visibility::Causal);
    let read = |prompt: &[u32], arithmetic, cache| {
        let request = GenerateRequest { arithmetic, ..request(&[prompt.to_vec()], 1) };
        Generation::with_cache(&model, request, cache).expect("a valid request")
    };
    for (first, then) in [(Arithmetic::Fast, Arithmetic::Exact), (Arithmetic::Exact, Arithmetic::Fast)] {
        let cache = || {
            let mut generation = read(&[1, 2, 3], first, None);
            block_on(generation.next()).expect("a token");
            generation.into_prefix_cache()
        };
        assert!(read(&[1, 2, 3, 4], first, cache()).state_bytes() > 0);
        assert_eq!(read(&[1, 2, 3, 4], then, cache()).state_bytes(), 0);
    }
}
