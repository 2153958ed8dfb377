//! Training of an encoder-decoder: the encoder reads the first part of a document, the decoder predicts the rest.

use crate::training::{
    runs::autodiff,
    toy::{RNG_KEY, batch},
};
use kiln_data::{PackedSequences, Sequence, Tokenizer, TokenizerConfig, Vocabulary};
use kiln_infer::block_on;
use kiln_models::{Model, ModelConfig};
use kiln_nn::{Context, context::RngKey};
use kiln_spec::{Random, config::NoOptions};
use kiln_train::{
    Models, Objective, StageConfig,
    objective::{FixedShare, Prefix, PrefixSplit},
    optimizer::{Optimizer, OptimizerConfig},
    step::compute_gradients,
};
use std::sync::Arc;

const BOS: u32 = 1;
const EOS: u32 = 2;

/// Objective: predict the second half of a document from the first.
fn halves_prefix() -> Prefix {
    Prefix { split: PrefixSplit::Share(FixedShare { share: 0.5 }) }
}

/// A byte tokenizer with its special tokens.
fn vocabulary() -> Arc<Vocabulary> {
    let none = std::iter::empty::<Result<String, kiln_data::DataError>>();
    Tokenizer::train(&TokenizerConfig::Byte(NoOptions {}), none).expect("a tokenizer").vocabulary().clone()
}

fn config(hidden: usize) -> ModelConfig {
    let text = format!(
        "stack = \"encoder-decoder\"\nvocab = 11\nhidden = {hidden}\n[[blocks]]\nsublayers = [{{ parts = [\"attention\"] \
         }}, {{ parts = [{{ attention = {{ source = \"cross\" }} }}] }}, {{ parts = [\"gated_mlp\"] }}]"
    );
    let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("well formed");
    config.resolve();
    config.check("model").expect("legal");
    config
}

/// Documents that repeat four tokens, two documents in a row.
fn repeated_tokens(step: u64) -> PackedSequences {
    let mut random = Random::new(8, "echoes", step, 0);
    let mut document = || {
        let said: Vec<u32> = (0..4).map(|_| 3 + random.next_u32() % 8).collect();
        Sequence {
            tokens: [&[BOS], said.as_slice(), &said, &[EOS]].concat(),
            ends_document: true,
            ..Sequence::default()
        }
    };
    PackedSequences {
        rows: (0..8).map(|_| vec![document(), document()]).collect(),
        sequence_length: 20,
        vocabulary: vocabulary(),
    }
}

fn loss(objective: &dyn Objective, models: &Models, packed: &PackedSequences) -> f64 {
    let batch = block_on(objective.batch(packed, models, Random::new(0, "objective", 0, 0))).expect("a batch");
    let mut cx = Context::new(&batch.layout, &models.policy.device());
    let sum: f64 = objective.loss(models, &batch, &mut cx).sum.into_data().iter::<f64>().sum();
    sum / batch.total_weight()
}

#[test]
fn an_encoder_decoder_learns_to_repeat_its_input() {
    let mut models = Models::new(Model::init(&config(32), 1, &autodiff()));
    let mut optimizer = Optimizer::new(&OptimizerConfig::default());
    assert!(loss(&halves_prefix(), &models, &repeated_tokens(1 << 20)) > 2.0);
    for step in 0..250 {
        let batch =
            block_on(halves_prefix().batch(&repeated_tokens(step), &models, Random::new(0, "objective", step, 0)))
                .expect("a batch");
        let found = compute_gradients(&models, &[batch], &halves_prefix(), RngKey { step, ..RNG_KEY });
        models.policy = found.apply(models.policy, &mut optimizer, 1e-2, Some(1.0));
    }
    // Without the encoder, four of five tokens are one of eight: 1.66 nats per token at best.
    let learned = loss(&halves_prefix(), &models, &repeated_tokens(1 << 20));
    assert!(learned < 0.3, "{learned}");
}

#[test]
fn packed_documents_train_like_separate_ones() {
    let models = Models::new(kiln_laws::parameters::to_f64(Model::init(&config(16), 1, &autodiff())));
    let packed = repeated_tokens(0);
    let alone =
        PackedSequences { rows: packed.rows.iter().flatten().map(|s| vec![s.clone()]).collect(), ..packed.clone() };
    let [together, apart] = [&packed, &alone].map(|packed| loss(&halves_prefix(), &models, packed));
    assert!((together - apart).abs() < 1e-9, "{together} {apart}");
}

#[test]
fn the_full_objective_refuses_an_encoder_with_the_reason() {
    let stage = StageConfig { steps: 1, sequence_length: 8, ..StageConfig::default() };
    for (stack, reason) in [("encoder-decoder", "fed to its encoder"), ("encoder", "after it")] {
        let model = match stack {
            "encoder" => kiln_spec::config::parse("stack = \"encoder\"", None).expect("well formed"),
            _ => config(8),
        };
        let refusal = stage.check(&model, "stages[0]").expect_err(stack);
        assert_eq!(refusal.path, "stages[0].objective");
        assert!(refusal.reason.contains(reason), "{refusal}");
    }
    let model: ModelConfig = kiln_spec::config::parse("head = \"class\"", None).expect("well formed");
    let refusal = stage.check(&model, "stages[0]").expect_err("a class head");
    assert!(refusal.reason.contains("`class`"), "{refusal}");
    assert!(batch(2, 16).encoder.is_none());
}
