//! Generation from cached state against processing the whole text for each token.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_infer::{
    CacheDtype, FinishReason, GenerateError, GenerateRequest, Generation, PrefixCache, Sampling, StateError, block_on,
    generate,
};
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
    let mut generation = Generation::new(&model, request(&[vec![1; 180]], 30)).expect("legal");
    while block_on(generation.next()).expect("generated").is_some() {}
    // 2 layers of 2 pages: the end of the prompt, where the row can go back to, and the window at the end of the text. Keys and
    // values of 64 tokens, 2 heads, 4 numbers padded to 16.
    assert_eq!(generation.state_bytes(), 2 * 2 * (2 * 64 * 2 * 16 * 4));
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
fn a_cache_is_truncated_to_the_common_beginning() {
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
    let two = vec![longer.clone(), vec![4]];
    let cases = [
        (vec![known.clone()], vec![4]),
        (vec![changed], vec![0]),
        (vec![known[..2].to_vec()], vec![1]),
        (two.clone(), vec![5, 0]),
    ];
    for (text, cached) in cases {
        let request = request(&text, 5);
        let expected = block_on(generate(&causal, request.clone())).expect("generated");
        let mut generation = Generation::with_cache(&causal, request, Some(cache())).expect("legal");
        assert_eq!(generation.num_cached_tokens(), cached, "{text:?}");
        let mut ids = vec![Vec::new(); text.len()];
        while let Some(tokens) = block_on(generation.next()).expect("generated") {
            tokens.into_iter().for_each(|token| ids[token.row].push(token.id));
        }
        assert!(expected.iter().map(|output| &output.ids).eq(&ids), "{text:?}");
        let cache = generation.into_prefix_cache().expect("a causal decoder");
        let read = text.iter().zip(&ids).map(|(text, ids)| [&text[..], &ids[..ids.len() - 1]].concat());
        assert_eq!(cache.rows(), read.collect::<Vec<_>>());
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

/// Also with a cache of 16 bits, and from a cached beginning that is shared by two prompts.
#[test]
fn exact_generation_is_the_same_alone_together_and_in_chunks() {
    let model = model("\"rotary\"", Visibility::Causal);
    let prompts = [vec![3, 1, 4, 1, 5, 9, 2, 6], vec![5], vec![3, 1, 4, 9, 7, 9, 3]];
    for cache_dtype in [CacheDtype::F32, CacheDtype::F16] {
        let request = |prompts: &[Vec<u32>], prefill_chunk_size| {
            let (sampling, arithmetic) = (Sampling::greedy(), Arithmetic::Exact);
            GenerateRequest { sampling, prefill_chunk_size, arithmetic, cache_dtype, ..request(prompts, 12) }
        };
        let run = |mut generation: Generation| {
            let mut ids = vec![Vec::new(); generation.num_cached_tokens().len()];
            while let Some(tokens) = block_on(generation.next()).expect("generated") {
                tokens.into_iter().for_each(|token| ids[token.row].push(token.id));
            }
            (ids, generation.into_prefix_cache())
        };
        let greedy =
            |prompts: &[Vec<u32>], chunk| run(Generation::new(&model, request(prompts, chunk)).expect("legal"));
        let (together, _) = greedy(&prompts, None);
        assert_eq!(greedy(&prompts, Some(3)).0, together);
        let one = |prompt| greedy(std::slice::from_ref(prompt), Some(1)).0;
        assert_eq!(prompts.iter().flat_map(one).collect::<Vec<_>>(), together);
        let (_, cache) = greedy(&[vec![3, 1, 4]], None);
        let both = [prompts[0].clone(), prompts[2].clone()];
        let generation = Generation::with_cache(&model, request(&both, None), cache).expect("legal");
        assert_eq!(generation.num_cached_tokens(), [3, 3]);
        assert_eq!(run(generation).0, [together[0].clone(), together[2].clone()]);
    }
}

#[test]
fn exact_arithmetic_is_refused_for_a_component_without_it() {
    let mut config = config("\"rotary\"", Visibility::Causal);
    let text =
        "vocab = 13\nhidden = 16\n[[blocks]]\nsublayers = [{ parts = [{ attention = { score = 'talking_heads' } }] }]";
    config.blocks.extend(kiln_spec::config::parse::<ModelConfig>(text, None).expect("a legal model").blocks);
    config.resolve();
    let model = Model::init(&config, 7, &Device::flex());
    let exact = GenerateRequest { arithmetic: Arithmetic::Exact, ..request(&[vec![1]], 1) };
    let error = Generation::new(&model, exact).err().expect("refused").to_string();
    assert!(error.contains("model.blocks[1].sublayers[0].parts[0].attention.score"), "{error}");
    assert!(error.contains("`talking_heads` has no batch-invariant arithmetic"), "{error}");
    assert!(Generation::new(&model, request(&[vec![1]], 1)).is_ok());
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

/// Rows that end at different times, in one batch: each as alone, and the cache holds all of them in order.
#[test]
fn rows_that_end_leave_the_batch() {
    let model = model("\"rotary\"", Visibility::Causal);
    let prompts = [vec![1, 2, 3], vec![4], vec![5, 6, 7, 8, 9], vec![2, 2]];
    let greedy = |prompts: &[Vec<u32>]| GenerateRequest { sampling: Sampling::greedy(), ..request(prompts, 12) };
    let alone = |prompt| block_on(generate(&model, greedy(std::slice::from_ref(prompt)))).expect("generated").remove(0);
    for lengths in [[2, 12, 5, 2], [12, 1, 1, 1], [3, 4, 5, 6]] {
        let mut generation = Generation::new(&model, greedy(&prompts)).expect("legal");
        let mut ids = vec![Vec::new(); prompts.len()];
        while let Some(tokens) = block_on(generation.next()).expect("generated") {
            for token in tokens {
                ids[token.row].push(token.id);
                if ids[token.row].len() == lengths[token.row] {
                    generation.end_row(token.row, FinishReason::StopText);
                }
            }
        }
        let bytes = generation.state_bytes();
        let cache = generation.into_prefix_cache().expect("a causal decoder");
        assert_eq!(cache.state().bytes(), bytes);
        for (row, prompt) in prompts.iter().enumerate() {
            assert_eq!(ids[row], alone(prompt).ids[..lengths[row]], "row {row}");
            assert_eq!(cache.rows()[row], [&prompt[..], &ids[row][..lengths[row] - 1]].concat());
        }
    }
}

/// One row for several prompts, rows of joined caches, and what a cache refuses.
#[test]
fn caches_are_forked_joined_and_truncated() {
    let model = model("\"rotary\"", Visibility::Causal);
    let after = |text: &[u32]| {
        let mut generation = Generation::new(&model, request(&[text.to_vec()], 2)).expect("legal");
        while block_on(generation.next()).expect("generated").is_some() {}
        generation.into_prefix_cache().expect("a causal decoder")
    };
    let check = |cache: PrefixCache, prompts: &[Vec<u32>], cached: &[usize]| {
        let expected = block_on(generate(&model, request(prompts, 6))).expect("generated");
        let mut generation = Generation::with_cache(&model, request(prompts, 6), Some(cache)).expect("legal");
        assert_eq!(generation.num_cached_tokens(), cached);
        let mut ids = vec![Vec::new(); prompts.len()];
        while let Some(tokens) = block_on(generation.next()).expect("generated") {
            tokens.into_iter().for_each(|token| ids[token.row].push(token.id));
        }
        assert!(expected.iter().map(|output| &output.ids).eq(&ids), "{prompts:?}");
    };
    check(after(&[1, 2, 3, 4]), &[vec![1, 2, 3, 9], vec![1, 2, 3, 4, 5, 6], vec![7]], &[3, 4, 0]);
    let mut joined = after(&[1, 2, 3]);
    joined.append(after(&[4, 5])).expect("one model");
    joined.append(after(&[6, 7, 8, 9])).expect("one model");
    joined.select(&[2, 0]).expect("rows");
    assert_eq!(joined.truncate(&[3, 2]), Ok(vec![3, 2]));
    assert_eq!(joined.rows(), [vec![6, 7, 8], vec![1, 2]]);
    assert_eq!(joined.fork(&[]).err(), Some(StateError::NoRows));
    assert!(matches!(joined.truncate(&[3, 3]), Err(StateError::PastEnd { row: 1, requested: 3, length: 2 })));
    assert_eq!(joined.truncate(&[3]), Err(StateError::LengthCount { expected: 2, found: 1 }));
    check(joined, &[vec![6, 7, 8, 1], vec![1, 2, 2]], &[3, 2]);
}

/// 16-bit caches: half the memory, logits close to those of 32 bits. A cache of another type is not reused.
#[test]
fn caches_of_16_bits_are_half_as_large() {
    let model = model("\"rotary\"", Visibility::Causal);
    let run = |cache_dtype, cache| {
        let request = GenerateRequest { cache_dtype, ..request(&[vec![1, 2, 3, 4, 5, 6]], 3) };
        let mut generation = Generation::with_cache(&model, request, cache).expect("legal");
        while block_on(generation.next()).expect("generated").is_some() {}
        (generation.state_bytes(), generation.num_cached_tokens()[0], generation.into_prefix_cache())
    };
    let (full, _, cache) = run(CacheDtype::F32, None);
    let (half, cached, again) = run(CacheDtype::F16, cache);
    assert_eq!((full, cached), (2 * half, 0));
    assert_eq!(run(CacheDtype::F16, again).1, 5);
}
