//! Golden losses of tiny runs, in `golden/`. A change of what is computed changes these files in the same commit:
//! `KILN_BLESS=1` writes them.

use crate::training::runs::{recipe, train};
use kiln_train::{Recipe, metrics::MetricsRow, run::load_metrics, run_folder::RunPaths};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Tolerance of losses, in nats. Another machine rounds differently; a mistake changes the first digits.
const TOLERANCE: f64 = 1e-4;

/// Relative tolerance of gradient norms, in which roundings of the weights add up.
const NORM_TOLERANCE: f64 = 1e-3;

fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.json"))
}

/// Losses of steps, gradient norms and validation losses of a run.
fn golden_metrics(recipe: &Recipe) -> Value {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    train(recipe, &path);
    let rows = load_metrics(&RunPaths::open(&path).unwrap()).unwrap();
    let of = |pick: fn(&MetricsRow) -> Option<f64>| rows.iter().filter_map(pick).collect::<Vec<f64>>();
    json!({
        "losses": of(|row| if let MetricsRow::Step(row) = row { Some(row.loss) } else { None }),
        "norms": of(|row| if let MetricsRow::Step(row) = row { Some(row.gradient_norm) } else { None }),
        "validations": of(|row| if let MetricsRow::Validation(row) = row { Some(row.loss) } else { None }),
    })
}

fn metric_values(figures: &Value, key: &str) -> Vec<f64> {
    figures[key].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn check(name: &str, recipe: &Recipe) {
    let (found, place) = (golden_metrics(recipe), fixture_path(name));
    if std::env::var_os("KILN_BLESS").is_some() {
        std::fs::write(&place, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
    let wanted: Value = serde_json::from_str(&text).unwrap();
    for (key, absolute, relative) in
        [("losses", TOLERANCE, 0.0), ("norms", 0.0, NORM_TOLERANCE), ("validations", TOLERANCE, 0.0)]
    {
        let (found, wanted) = (metric_values(&found, key), metric_values(&wanted, key));
        assert_eq!(found.len(), wanted.len(), "{name}: {key}");
        for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let far = (found - wanted).abs();
            assert!(far <= absolute + relative * wanted, "{name}: {key}[{i}] is {found}, golden {wanted}");
        }
    }
}

const LENGTH: &str = "stages.0.steps=30";

#[test]
fn golden_losses_of_a_plain_decoder() {
    check("plain", &recipe(&[LENGTH, "stages.0.batch_size=4"]));
}

/// Features that the plain decoder lacks: other norms, positions, heads, junctions and MLPs, dropout, micro-batches,
/// another schedule, a trained tokenizer.
#[test]
fn golden_losses_of_everything_else() {
    let sets = [
        LENGTH,
        "stages.0.batch_size=4",
        "tokenizer={ bpe = { vocab = 400 } }",
        "stages.0.gradient_accumulation=2",
        "stages.0.schedule={ wsd = { learning_rate = 3e-3 } }",
        "model.dropout=0.1",
        "model.position={ learned = { max_position_embeddings = 64 } }",
        "model.norm=\"layer\"",
        "model.head={ language = { tied = false } }",
        "model.blocks.*.sublayers.0.junction=\"post\"",
        "model.blocks.*.sublayers.0.parts=[{ attention = { pattern = { window = { before = 9, after = 0 } }, \
         projection = { heads = { heads = 4, kv_heads = 2 } } } }]",
        "model.blocks.*.sublayers.1.parts=[\"mlp\"]",
    ];
    check("else", &recipe(&sets));
}
