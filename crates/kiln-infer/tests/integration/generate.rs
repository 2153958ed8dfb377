//! Writing from cached state is writing by reading everything anew for each token.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_infer::{FinishReason, GenerateError, GenerateRequest, Generation, PrefixCache, Sampling, block_on, generate};
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
    }
}

/// The same without state: the whole text goes through the model for each token.
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
    fn cached_is_anew(
        prompts in prompts(), tokens in 1usize..9, chunk in proptest::option::of(1usize..5),
        position in prop::sample::select(vec!["\"none\"", "\"rotary\"", "{ learned = { max_position_embeddings = 40 } }"]),
        visibility in prop::sample::select(vec![Visibility::Causal, Visibility::Prefix]),
    ) {
        let model = model(position, visibility);
        let request = GenerateRequest { prefill_chunk_size: chunk, ..request(&prompts, tokens) };
        let written = block_on(generate(&model, request.clone())).expect("written");
        for (row, (prompt, output)) in prompts.iter().zip(written).enumerate() {
            prop_assert_eq!(output.finish_reason, FinishReason::MaxTokens);
            prop_assert_eq!(output.ids, generate_uncached(&model, prompt, row as u64, &request.sampling, tokens));
        }
    }
}

#[test]
fn a_text_ends_at_its_end_token_and_the_others_go_on() {
    let model = model("\"rotary\"", Visibility::Causal);
    let prompts = [vec![1, 2, 3], vec![4], vec![5, 6, 7, 8, 9]];
    let long = block_on(generate(&model, request(&prompts, 12))).expect("written");
    let stop = long[1].ids[4];
    let short = block_on(generate(&model, GenerateRequest { stop_token_ids: vec![stop], ..request(&prompts, 12) }))
        .expect("written");
    for (long, short) in long.iter().zip(&short) {
        let end = long.ids.iter().position(|id| *id == stop);
        assert_eq!(short.ids, long.ids[..end.unwrap_or(12)]);
        assert_eq!(short.finish_reason, if end.is_some() { FinishReason::Eos } else { FinishReason::MaxTokens });
    }
    let lengths: Vec<usize> = short.iter().map(|output| output.ids.len()).collect();
    assert!(lengths.iter().any(|n| *n != lengths[0]), "all rows end at once: {lengths:?} shows nothing");
}

#[test]
fn positions_end_and_the_last_one_is_used() {
    let model = model("{ learned = { max_position_embeddings = 8 } }", Visibility::Causal);
    let written = block_on(generate(&model, request(&[vec![1, 2, 3], vec![4; 8]], 20))).expect("written");
    let ends: Vec<_> = written.iter().map(|output| (output.ids.len(), output.finish_reason.name())).collect();
    assert_eq!(ends, [(6, "length"), (1, "length")]);
    let exact = block_on(generate(&model, request(&[vec![1, 2, 3]], 6))).expect("written");
    assert_eq!((&exact[0].ids, exact[0].finish_reason.name()), (&written[0].ids, "tokens"));
}

#[test]
fn a_window_keeps_no_more_than_it_sees() {
    let model = model("\"rotary\"", Visibility::Causal);
    let mut generation = Generation::new(&model, request(&[vec![1; 9]], 30)).expect("legal");
    while block_on(generation.next()).expect("written").is_some() {}
    // 2 layers, keys and values, 2 heads of 4 numbers, 6 tokens: the window and the token itself.
    assert_eq!(generation.state_bytes(), 2 * 2 * 2 * 4 * 6 * 4);
}

#[test]
fn a_model_that_trains_writes_the_same() {
    let config = config("\"rotary\"", Visibility::Causal);
    let write = |device: Device| {
        block_on(generate(&Model::init(&config, 7, &device), request(&[vec![1, 2]], 6))).expect("written")
    };
    assert_eq!(write(Device::flex()), write(Device::flex().autodiff()));
}

#[test]
fn nothing_is_written_for_nothing() {
    let model = model("\"rotary\"", Visibility::Causal);
    let none = block_on(generate(&model, request(&[vec![1]], 0))).expect("written");
    assert_eq!((none[0].ids.len(), none[0].finish_reason), (0, FinishReason::MaxTokens));
    assert!(block_on(generate(&model, request(&[], 5))).expect("written").is_empty());
}

#[test]
fn what_cannot_be_met_is_refused() {
    let learned = model("{ learned = { max_position_embeddings = 8 } }", Visibility::Causal);
    let error = |model: &Model, request: GenerateRequest| match Generation::new(model, request) {
        Ok(_) => panic!("not refused"),
        Err(error) => error,
    };
    let good = request(&[vec![1]], 5);
    let text = |request: GenerateRequest| error(&learned, request).to_string();
    assert!(
        text(GenerateRequest { prompts: vec![vec![1], vec![]], ..good.clone() }).starts_with("prompt 1 has no token")
    );
    assert!(
        text(GenerateRequest { prompts: vec![vec![1, 13]], ..good.clone() }).starts_with("prompt 0 holds the token 13")
    );
    assert!(text(GenerateRequest { prompts: vec![vec![1; 9]], ..good.clone() }).starts_with("prompt 0 has 9 tokens"));
    assert!(text(GenerateRequest { prefill_chunk_size: Some(0), ..good.clone() }).starts_with("chunk: "));
    let sampling = Sampling { top_p: Some(2.0), ..Sampling::default() };
    assert!(text(GenerateRequest { sampling, ..good.clone() }).starts_with("top_p: "));
    let both = model("\"rotary\"", Visibility::Bidirectional);
    assert!(matches!(error(&both, good), GenerateError::Bidirectional));
}

#[test]
fn broken_weights_are_an_error() {
    let model = model("\"rotary\"", Visibility::Causal);
    let mut values = kiln_infer::block_on(kiln_models::state_dict(&model)).expect("flex always answers");
    let name = "blocks.1.feed_forward.down.weight";
    let shape = values[name].shape().to_vec();
    values.insert(name.into(), TensorData::new(vec![f32::NAN; shape.iter().product()], shape));
    let model = kiln_models::load_state_dict(model, values).expect("the same names");
    let error = block_on(generate(&model, request(&[vec![1]], 5))).expect_err("broken").to_string();
    assert!(error.contains("not finite"), "{error}");
}

/// Three turns of a text, each going on where the one before has ended: as if all of it were read anew.
fn check_chat_turns(model: &Model, sampling: &Sampling, chunk: Option<usize>) {
    let (mut text, mut reading, mut reused) = (vec![1, 2, 3, 4], None, 0);
    for turn in 0..3u32 {
        let request = GenerateRequest {
            sampling: sampling.clone(),
            prefill_chunk_size: chunk,
            ..request(std::slice::from_ref(&text), 4)
        };
        let fresh = block_on(generate(model, request.clone())).expect("written").remove(0).ids;
        reused += reading.as_ref().map_or(0, |reading: &PrefixCache| reading.tokens().len());
        let mut generation = Generation::with_cache(model, request, reading).expect("legal");
        let mut ids = Vec::new();
        while let Some(tokens) = block_on(generation.next()).expect("written") {
            ids.extend(tokens.into_iter().map(|token| token.id));
        }
        assert_eq!(ids, fresh, "turn {turn}");
        reading = generation.into_prefix_cache();
        let read = reading.as_ref().expect("a decoder's").tokens();
        // The last token that was written was not read yet.
        assert_eq!(read, [&text[..], &ids[..3]].concat());
        text.extend(ids);
        text.extend([5 + turn, 6, 7]);
    }
    assert_eq!(reused, 7 + 14);
}

#[test]
fn a_text_goes_on_from_what_was_read_of_it() {
    for position in ["\"none\"", "\"rotary\"", "{ learned = { max_position_embeddings = 40 } }"] {
        let model = model(position, Visibility::Causal);
        for chunk in [None, Some(2)] {
            check_chat_turns(&model, &Sampling::greedy(), chunk);
            check_chat_turns(&model, &Sampling { seed: 5, ..Sampling::default() }, chunk);
        }
    }
}

#[test]
fn a_text_that_begins_otherwise_is_read_anew() {
    let causal = model("\"rotary\"", Visibility::Causal);
    let read = |model: &Model, text: &[u32]| {
        let mut generation = Generation::new(model, request(&[text.to_vec()], 3)).expect("legal");
        while block_on(generation.next()).expect("written").is_some() {}
        generation.into_prefix_cache()
    };
    let reading = || read(&causal, &[1, 2, 3]).expect("a decoder's");
    let known = reading().tokens().to_vec();
    assert_eq!(known.len(), 5);
    let longer = [&known[..], &[9]].concat();
    let changed = [&[7][..], &longer[1..]].concat();
    assert!(reading().extends(&longer) && !reading().extends(&known) && !reading().extends(&changed));
    for text in [vec![known.clone()], vec![changed], vec![known[..2].to_vec()], vec![longer.clone(), vec![4]]] {
        let request = request(&text, 5);
        let wanted = block_on(generate(&causal, request.clone())).expect("written");
        let mut generation = Generation::with_cache(&causal, request, Some(reading())).expect("legal");
        let mut ids = vec![Vec::new(); text.len()];
        while let Some(tokens) = block_on(generation.next()).expect("written") {
            tokens.into_iter().for_each(|token| ids[token.row].push(token.id));
        }
        assert!(wanted.iter().map(|output| &output.ids).eq(&ids), "{text:?}");
        assert_eq!(generation.into_prefix_cache().is_some(), text.len() == 1);
    }
    // A prefix that grows is seen otherwise: what was read of it is nothing to go on from.
    let prefix = model("\"rotary\"", Visibility::Prefix);
    assert!(read(&prefix, &[1, 2, 3]).is_none());
    let request = request(std::slice::from_ref(&longer), 5);
    let wanted = block_on(generate(&prefix, request.clone())).expect("written").remove(0).ids;
    let mut generation = Generation::with_cache(&prefix, request, Some(reading())).expect("legal");
    let first = block_on(generation.next()).expect("written").expect("a token");
    assert_eq!(first[0].id, wanted[0]);
}
