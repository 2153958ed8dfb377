//! Each objective lowers the loss of a small model, can be stopped at any step, and leaves a model for its task.

use crate::training::runs::{TestRun, assert_same_result, metric_rows, recipe, run_result, steps, train};
use burn::tensor::{Tensor, TensorData};
use kiln_infer::{BLANK, GenerateError, GenerateOptions, Generator, InfillOptions, Sampling, block_on};
use kiln_laws::device;
use kiln_models::Visibility;
use kiln_nn::Context;
use kiln_spec::{Direction, DocumentSpan, Layout};
use kiln_train::{
    Recipe,
    metrics::MetricsRow,
    run::{LoadedRun, load, load_metrics},
    run_folder::RunPaths,
};
use std::path::Path;

fn recipe_for(objective: &str, sets: &[&str]) -> Recipe {
    let objective = format!("stages.0.objective={objective}");
    let all =
        [&[&*objective, "stages.0.num_samples=2", "stages.0.sample_tokens=24", "stages.0.schedule=constant"], sets];
    recipe(&all.concat())
}

fn train_model(objective: &str, sets: &[&str], path: &Path) -> LoadedRun {
    train(&recipe_for(objective, sets), path);
    load(path, &device()).unwrap()
}

#[test]
fn losses_fall_and_stopping_changes_no_bit() {
    let home = tempfile::tempdir().unwrap();
    for objective in ["prefix", "masked", "{ masked = { unit = \"span\" } }", "unified"] {
        let name = objective.replace(|c: char| !c.is_alphanumeric(), "");
        let path = |what: &str| home.path().join(format!("{name}-{what}"));
        let recipe = recipe_for(objective, &[]);
        train(&recipe, &path("whole"));
        let losses: Vec<f64> = steps(&path("whole")).iter().map(|step| step.loss).collect();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&losses[..4]), mean(&losses[losses.len() - 6..]));
        // Of 297 tokens a model that knows nothing gives each ln 297 = 5.7 nats; letters' frequencies alone save 2.
        assert!(last < first - 0.8, "{objective}: from {first} to {last}");
        let stopped = TestRun { stop_after: Some(13), ..TestRun::default() }.start(&recipe, &path("stopped")).unwrap();
        assert!(stopped.interrupted);
        TestRun::default().resume(&path("stopped")).unwrap();
        assert_same_result(&run_result(&path("stopped")), &run_result(&path("whole")), objective);
        assert!(
            metric_rows(&path("whole")).iter().any(|row| row.contains("\"samples\":[{")),
            "{objective}: no samples"
        );
    }
}

#[test]
fn reference_losses_are_reported_for_the_full_objective_only() {
    let home = tempfile::tempdir().unwrap();
    for (objective, known) in [("full", true), ("prefix", false), ("masked", false), ("unified", false)] {
        let path = home.path().join(objective);
        train(&recipe_for(objective, &["stages.0.steps=2"]), &path);
        let rows = load_metrics(&RunPaths::open(&path).unwrap()).unwrap();
        let validation =
            rows.iter().find_map(|row| if let MetricsRow::Validation(row) = row { Some(row) } else { None });
        let row = validation.expect("a validation");
        assert_eq!((row.reference_loss.is_some(), row.by_dependency.is_some()), (known, known), "{objective}");
        // A token is a byte; only the ends of documents have none.
        assert!(row.evaluated_bytes <= row.evaluated_tokens && row.evaluated_bytes * 10 > row.evaluated_tokens * 9);
        let samples = rows.iter().find_map(|row| if let MetricsRow::Samples(row) = row { Some(row) } else { None });
        let sample = &samples.expect("samples").samples[0];
        assert_eq!(sample.prompt.contains(BLANK), objective == "masked", "{objective}");
    }
}

#[test]
fn a_masked_model_infills_and_does_not_generate() {
    let home = tempfile::tempdir().unwrap();
    let loaded = train_model("masked", &[], &home.path().join("run"));
    assert_eq!(loaded.model.config().visibility, Visibility::Bidirectional);
    let generator = Generator::new(&loaded.model, &loaded.tokenizer).unwrap().with_mode(loaded.generation_mode());
    let filling = InfillOptions { sampling: Sampling::greedy(), mask_length: 2, ..InfillOptions::default() };
    let filled = block_on(generator.infill(&["A ___ and ___"], &filling)).unwrap().remove(0);
    assert_eq!((filled.ids.len(), filled.blanks.len()), (4, 2));
    assert_eq!(filled.text, format!("A {} and {}", filled.blanks[0], filled.blanks[1]));
    let none = block_on(generator.infill(&["no blank"], &filling)).unwrap_err();
    assert!(matches!(none, GenerateError::NoBlank { row: 0 }), "{none}");
    let written = block_on(generator.generate(&["A"], &GenerateOptions::default())).unwrap_err();
    assert!(matches!(written, GenerateError::Bidirectional), "{written}");
}

#[test]
fn a_prefix_model_sees_its_whole_prompt() {
    let home = tempfile::tempdir().unwrap();
    let loaded = train_model("prefix", &["stages.0.steps=60"], &home.path().join("run"));
    let generator = Generator::new(&loaded.model, &loaded.tokenizer).unwrap().with_mode(loaded.generation_mode());
    let prompt = "Once there was";
    let options = GenerateOptions {
        sampling: Sampling::greedy(),
        max_new_tokens: 1,
        prefill_chunk_size: Some(2),
        ..GenerateOptions::default()
    };
    let written = block_on(generator.generate(&[prompt], &options)).unwrap().remove(0);
    let text = [vec![loaded.tokenizer.special_tokens().bos], loaded.tokenizer.encode(prompt)].concat();
    let last = |direction| {
        let layout = Layout::packed(&[vec![DocumentSpan { length: text.len(), start: 0, direction }]], text.len());
        let ids: Vec<i32> = text.iter().map(|id| *id as i32).collect();
        let ids = Tensor::from_data(TensorData::new(ids, [1, text.len()]), &device());
        let hidden = loaded.model.forward(ids, &mut Context::new(&layout, &device()));
        let logits = loaded.model.logits(hidden.narrow(1, text.len() - 1, 1).squeeze_dim::<2>(1));
        logits.into_data().iter::<f32>().collect::<Vec<f32>>()
    };
    let (whole, causal) = (last(Direction::Prefix(text.len())), last(Direction::Causal));
    assert_eq!(written.ids, [Sampling::greedy().sample(&whole, 0, 0).unwrap()]);
    assert!(whole.iter().zip(&causal).any(|(a, b)| (a - b).abs() > 1e-3), "the two can't be told apart");
}

#[test]
fn a_unified_model_generates_and_infills() {
    let home = tempfile::tempdir().unwrap();
    let loaded = train_model("unified", &[], &home.path().join("run"));
    assert_eq!(loaded.model.config().visibility, Visibility::Causal);
    let generator = Generator::new(&loaded.model, &loaded.tokenizer).unwrap().with_mode(loaded.generation_mode());
    let written =
        block_on(generator.generate(&["A"], &GenerateOptions { max_new_tokens: 5, ..GenerateOptions::default() }))
            .unwrap();
    let filled = block_on(generator.infill(&["A ___ b"], &InfillOptions::default())).unwrap().remove(0);
    assert!(written[0].ids.len() <= 5 && filled.ids.len() == 1);
    assert!(filled.text.starts_with("A ") && filled.text.ends_with(" b"));
}

#[test]
fn illegal_values_are_refused_at_their_path() {
    let refused = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        Recipe::load("tokenizer = \"byte\"\n[[stages]]", None, &sets, &|_, _| unreachable!()).unwrap_err()
    };
    let cases: [(&[&str], &str, &str); 9] = [
        (&["stages.0.objective=masked", "model.visibility=causal"], "stages[0].objective", "bidirectional"),
        (&["stages.0.objective=full", "model.visibility=prefix"], "stages[0].objective", "causal"),
        (&["stages.0.objective={ masked = { rate = 0.0 } }"], "masked.rate", "above 0"),
        (&["stages.0.objective={ masked = { random_replace_prob = 0.3 } }"], "masked.random_replace_prob", "at most 1"),
        (&["stages.0.objective={ masked = { unit = { span = { max_length = 0 } } } }"], "unit.span.max_length", "1024"),
        (&["stages.0.objective={ prefix = { split = { share = { share = 1.0 } } } }"], "split.share", "below 1"),
        (&["stages.0.objective={ prefix = { split = { after = { text = \"\" } } } }"], "split.after.text", "text"),
        (&["stages.0.objective={ unified = { masked = { rate = 2.0 } } }"], "unified.masked.rate", "at most 1"),
        (
            &[
                "stages.0.objective={ unified = { shares = { bidirectional = 0, left_to_right = 0, sequence_to_sequence = 0 } } }",
            ],
            "unified.shares",
            "neither generate nor infill",
        ),
    ];
    for (sets, path, reason) in cases {
        let error = refused(sets);
        let said = format!("{error}; {}", error.help().unwrap_or_default());
        assert!(said.contains(path) && said.contains(reason), "{sets:?}: {said}");
    }
    // One line switches the objective; the model's visibility follows it, unless it is said.
    for (objective, visibility) in
        [("masked", "bidirectional"), ("prefix", "prefix"), ("unified", "causal"), ("full", "causal")]
    {
        assert_eq!(recipe_for(objective, &[]).model.visibility.name(), visibility);
    }
    assert_eq!(recipe_for("unified", &["model.visibility=prefix"]).model.visibility, Visibility::Prefix);
}
