//! Probes: reading changes nothing, and a changed value is what the model continues with.

use burn::{
    module::Module,
    tensor::{Int, Tensor, TensorData},
};
use kiln_infer::{block_on, equivalence};
use kiln_interpret::{ActivationRecorder, PatchSet, ablate, inspect, patch};
use kiln_laws::{device, max_abs_diff, strategies};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{Context, Probe, head::HeadConfig};
use kiln_spec::{DocumentSpan, Layout};
use proptest::{collection::vec, prelude::*};

/// Additions in f32 in another order: listening to weights takes another kernel.
const ROUNDING: f64 = 5e-4;

fn hidden(model: &Model, ids: &[u32], probe: Option<Box<dyn Probe>>) -> Vec<f32> {
    let direction = strategies::direction(model.config());
    let layout = Layout::packed(&[vec![DocumentSpan { length: ids.len(), start: 0, direction }]], ids.len());
    let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
    let mut cx = Context::new(&layout, &device());
    cx.probe = probe;
    equivalence::encode_first_halves(model, &ids, &mut cx);
    let shape = [1, ids.len()];
    model
        .forward(Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &device()), &mut cx)
        .into_data()
        .iter()
        .collect()
}

fn boxed_probe(probe: impl Probe + 'static) -> Option<Box<dyn Probe>> {
    Some(Box::new(probe))
}

fn relative_diff(a: &[f32], b: &[f32]) -> f64 {
    let [a, b] = [a, b].map(|x| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
    max_abs_diff(&a, &b) / a.iter().fold(1.0, |most: f64, x| most.max(x.abs()))
}

fn document() -> impl Strategy<Value = Vec<u32>> {
    vec(0..strategies::VOCAB as u32, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn probing_what_every_kernel_computes_changes_no_bit(config in strategies::model(), ids in document()) {
        let model = Model::init(&config, 3, &device());
        let alone = hidden(&model, &ids, None);
        let record = ActivationRecorder::new(&["*residual", "*out", "*keys", "*queries", "*values", "*embedding", "hidden"]);
        prop_assert_eq!(&hidden(&model, &ids, boxed_probe(record.clone())), &alone);
        let last: Vec<f32> = record.get("hidden").expect("shown").into_data().iter().collect();
        prop_assert_eq!(&last, &alone);
        let residuals = record.activations().iter().filter(|(path, _)| path.starts_with("blocks.") && path.ends_with("residual")).count();
        prop_assert_eq!(residuals, config.num_layers());
        prop_assert_eq!(&hidden(&model, &ids, boxed_probe(ActivationRecorder::new(&["nothing"]))), &alone);
    }

    #[test]
    fn attention_weights_sum_to_one_and_change_only_rounding(config in strategies::model(), ids in document()) {
        let model = Model::init(&config, 3, &device());
        let record = ActivationRecorder::new(&["*.weights"]);
        let heard = hidden(&model, &ids, boxed_probe(record.clone()));
        prop_assert!(relative_diff(&hidden(&model, &ids, None), &heard) <= ROUNDING);
        for (path, weights) in record.activations() {
            if has_unnormalized_weights(&config) {
                continue;
            }
            let sums: Vec<f32> = weights.sum_dim(3).into_data().iter().collect();
            prop_assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-4), "{}: {:?}", path, sums);
        }
    }

    /// The stream after a block, taken from another text, is what the rest of the model then works on.
    #[test]
    fn a_patched_stream_gives_the_other_text(config in strategies::model(), ids in document(), shift in 1u32..11) {
        let model = Model::init(&config, 3, &device());
        let other: Vec<u32> = ids.iter().map(|id| (id + shift) % strategies::VOCAB as u32).collect();
        let path = format!("blocks.{}.residual", config.num_layers() - 1);
        let record = ActivationRecorder::new(&[&path]);
        let want = hidden(&model, &other, boxed_probe(record.clone()));
        let found = hidden(&model, &ids, boxed_probe(patch(&path, record.get(&path).expect("shown"))));
        prop_assert_eq!(found, want);
    }

    /// Ablating all that a pre-norm decoder's blocks add leaves the embedding.
    #[test]
    fn an_ablated_part_adds_nothing(ids in document()) {
        let model = Model::init(&plain_model(), 3, &device());
        let record = ActivationRecorder::new(&["embedding", "blocks.1.residual"]);
        let probes: Vec<Box<dyn Probe>> = vec![Box::new(ablate("*.out")), Box::new(record.clone())];
        hidden(&model, &ids, boxed_probe(PatchSet(probes)));
        let [first, last] = ["embedding", "blocks.1.residual"].map(|path| record.get(path).expect("shown").into_data());
        prop_assert_eq!(first.as_bytes(), last.as_bytes());
    }

    #[test]
    fn attention_maps_and_lens_work_for_any_model(config in strategies::model(), ids in document()) {
        let model = Model::init(&config, 3, &device());
        let inside = block_on(inspect(&model, &ids)).expect("numbers");
        let heads: usize = num_attention_heads(&config);
        prop_assert_eq!(inside.attention_maps.len(), heads);
        prop_assert!(inside.attention_maps.iter().all(|map| map.weights.len() == map.num_queries * map.num_keys && map.num_keys == ids.len()));
        match config.head {
            HeadConfig::Language(_) => {
                prop_assert_eq!(inside.logit_lens.len(), config.num_layers() + 1);
                prop_assert!(inside.logit_lens.iter().all(|layer| layer.top_tokens.len() == ids.len()));
            }
            _ => prop_assert!(inside.logit_lens.is_empty()),
        }
    }
}

/// The lens after the last layer is the model itself.
#[test]
fn the_last_lens_gives_the_models_logits() {
    let (model, ids) = (Model::init(&plain_model(), 3, &device()), [1, 2, 3, 4]);
    let inside = block_on(inspect(&model, &ids)).expect("numbers");
    let hidden = TensorData::new(hidden(&model, &ids, None), [4, 8]);
    let logits: Vec<f64> = model.logits(Tensor::from_data(hidden, &device())).into_data().iter().collect();
    for (row, guess) in logits.chunks(strategies::VOCAB).zip(&inside.logit_lens.last().expect("a layer").top_tokens) {
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let share = 1.0 / row.iter().map(|logit| (logit - most).exp()).sum::<f64>();
        assert!(
            (share - f64::from(guess.probability)).abs() < 1e-5 && row[guess.id as usize] == most,
            "{guess:?} {row:?}"
        );
    }
    assert!(inside.logit_lens[0] != inside.logit_lens[2]);
}

/// Whether an attention's weights need not add up to anything.
fn has_unnormalized_weights(config: &ModelConfig) -> bool {
    serde_json::to_string(config).expect("plain data").contains("\"sigmoid\"")
}

/// Heads of all attention layers of both stacks.
fn num_attention_heads(config: &ModelConfig) -> usize {
    use kiln_nn::part::PartConfig;
    let encoder = config.encoder_model_config().map_or_else(Vec::new, |encoder| encoder.blocks);
    let blocks = config.blocks.iter().chain(&encoder);
    let parts = blocks.flat_map(|b| b.sublayers.iter().flat_map(|s| &s.parts).map(move |part| (b.repeat, part)));
    let heads = parts.map(|(repeat, part)| match part {
        PartConfig::Attention(attention) => repeat * attention.projection.heads(),
        _ => 0,
    });
    heads.sum()
}

fn plain_model() -> ModelConfig {
    let mut config = ModelConfig { vocab: strategies::VOCAB, hidden: 8, ..ModelConfig::default() };
    config.blocks[0].repeat = 2;
    config.resolve();
    config
}

#[test]
fn an_ablated_head_changes_the_logits() {
    let model = Model::init(&plain_model(), 3, &device());
    assert!(model.num_params() > 0);
    let whole = hidden(&model, &[1, 2, 3], None);
    let without = hidden(&model, &[1, 2, 3], boxed_probe(ablate("blocks.1.attention.weights")));
    assert!(relative_diff(&whole, &without) > 1e-3);
    assert!(relative_diff(&whole[..8], &hidden(&model, &[1], None)) < 1e-6, "the first token sees itself alone");
}
