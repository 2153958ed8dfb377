//! Evaluations: one set of text for a stage, and what bits per byte count.

use crate::training::{
    runs::{metric_rows, recipe, train},
    toy::{corpus, models, tokenizer},
};
use burn::module::Module;
use kiln_data::{Packer, next_token_batch};
use kiln_infer::block_on;
use kiln_laws::device;
use kiln_nn::Context;
use kiln_spec::Direction;
use kiln_train::{
    Models,
    evaluate::EvalSet,
    metrics::{MetricsRow, ValidationMetrics},
    objective::{Full, to_device},
};

fn validations(sets: &[&str]) -> Vec<ValidationMetrics> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    train(&recipe(sets), &path);
    let rows = metric_rows(&path);
    let rows = rows.iter().map(|row| serde_json::from_str(row).unwrap());
    rows.filter_map(|row| if let MetricsRow::Validation(row) = row { Some(row) } else { None }).collect()
}

#[test]
fn all_evaluations_of_a_stage_have_the_same_text() {
    for objective in ["full", "masked", "unified"] {
        let objective = format!("stages.0.objective={objective}");
        let rows = validations(&[&objective, "stages.0.steps=8", "stages.0.eval_every=2", "stages.0.eval_tokens=700"]);
        assert_eq!(rows.len(), 4);
        for row in &rows {
            assert_eq!(
                (row.evaluated_tokens, row.evaluated_bytes),
                (rows[0].evaluated_tokens, rows[0].evaluated_bytes)
            );
            assert_eq!(row.reference_loss, rows[0].reference_loss);
        }
        assert!(rows[3].loss < rows[0].loss, "{objective} learns nothing");
    }
}

/// Bits per byte: the loss of the tokens that stand for text, over the bytes of that text. The end of a document is a
/// special token: it counts in the loss per token, and in neither part of bits per byte.
#[test]
fn bits_per_byte_leave_out_special_tokens_in_both_parts() {
    let (tokenizer, models) = (tokenizer(), models());
    let corpus = corpus(40, &tokenizer);
    let models = Models::new(models.policy.valid());
    let eval_set = EvalSet::new(&corpus, &tokenizer, (64, 4), None, false, 0).unwrap();
    let found = block_on(eval_set.evaluate(&models, &Full)).unwrap();
    let (mut all, mut text, mut bytes, mut count) = (0.0, 0.0, 0, 0);
    for packed in Packer::validation(corpus.clone(), 64, None).unwrap().iter_epoch(4) {
        let batch = next_token_batch(&packed.unwrap(), Direction::Causal).unwrap();
        let model = &models.policy;
        let hidden =
            model.forward(to_device(model, &batch, &batch.inputs), &mut Context::new(&batch.layout, &device()));
        let [b, t, m] = hidden.dims();
        let targets = to_device(model, &batch, &batch.targets).reshape([b * t]);
        let nats: Vec<f64> =
            model.cross_entropy(hidden.reshape([b * t, m]), targets).into_data().iter::<f64>().collect();
        for (i, nats) in nats.iter().enumerate().filter(|(i, _)| batch.weights[*i] > 0.0) {
            all += nats;
            count += 1;
            let target = batch.targets[i] as u32;
            if target != tokenizer.special_tokens().eos {
                text += nats;
                bytes += tokenizer.token_bytes(target).len();
            }
        }
    }
    assert_eq!((found.tokens, found.bytes), (count, bytes as u64));
    assert_eq!(found.bytes, corpus.validation.num_bytes(), "every byte is predicted once");
    let close = |a: f64, b: f64| (a - b).abs() < 1e-6 * b;
    assert!(close(found.loss, all / count as f64), "{} {}", found.loss, all / count as f64);
    let bits = text / std::f64::consts::LN_2 / bytes as f64;
    assert!(close(found.bits_per_byte, bits) && text < all, "{} {bits}", found.bits_per_byte);
}
