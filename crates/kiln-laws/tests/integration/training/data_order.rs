//! The data of a step is a function of seed and step only.

use crate::training::{
    runs::{TestRun, recipe},
    toy::{corpus, tokenizer},
};
use kiln_data::{Batch, PackedSequences, Packer, Prefetcher};
use kiln_models::Visibility;
use kiln_nn::Context;
use kiln_spec::Random;
use kiln_train::{
    Models, Objective, Recipe, StageConfig,
    objective::{BatchFuture, Full, Loss},
};
use std::sync::{Arc, Mutex};

#[test]
fn prefetching_changes_nothing() {
    let (tokenizer, steps) = (tokenizer(), 40);
    let packer = Arc::new(Packer::training(corpus(9, &tokenizer), 64, 4).unwrap());
    assert!(packer.num_rows() < 3 * steps, "it never comes to a second epoch");
    let alone: Vec<PackedSequences> = (0..steps as u64).map(|step| packer.rows_at_step(step, 3).unwrap()).collect();
    for (depth, from) in [(1, 0), (4, 0), (16, 0), (4, 17), (1, 39)] {
        let packer = packer.clone();
        let ahead = Prefetcher::new(depth, from..steps as u64, move |step| packer.rows_at_step(step, 3).unwrap());
        assert!(ahead.collect::<Vec<_>>() == alone[from as usize..], "{depth} ahead from {from}");
    }
    let other = Packer::training(packer.corpus().clone(), 64, 5).unwrap();
    assert_ne!(other.rows_at_step(0, 3).unwrap(), alone[0]);
}

/// The full objective, recording its batches.
struct RecordingObjective(Arc<Mutex<Vec<PackedSequences>>>);

impl Objective for RecordingObjective {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a> {
        self.0.lock().unwrap().push(packed.clone());
        Full.batch(packed, models, random)
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        Full.loss(models, batch, cx)
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }
}

#[test]
fn a_resumed_run_sees_the_same_data() {
    let (home, recipe) = (tempfile::tempdir().unwrap(), recipe(&["stages.0.steps=9", "stages.0.eval_every=0"]));
    let seen = |stops: &[u64], name: &str| {
        let (notes, path) = (Arc::new(Mutex::new(Vec::new())), home.path().join(name));
        let run = |stop: Option<u64>| {
            TestRun { stop_after: stop, objective: &|_| Box::new(RecordingObjective(notes.clone())) }.resume(&path)
        };
        let first =
            TestRun { stop_after: stops.first().copied(), objective: &|_| Box::new(RecordingObjective(notes.clone())) };
        first.start(&recipe, &path).unwrap();
        for stop in stops.iter().skip(1).copied().map(Some).chain([None]).take(stops.len()) {
            run(stop).unwrap();
        }
        notes.lock().unwrap().clone()
    };
    let whole = seen(&[], "whole");
    let resumed = seen(&[3, 4, 7], "resumed");
    // Validation at the end asks the objective too, after the last step.
    assert!(whole.len() >= 9 && resumed[..9] == whole[..9]);
    assert!((1..9).all(|step| whole[step] != whole[step - 1]));
}

/// A second stage on the same text continues the order of the first.
#[test]
fn stages_share_one_order() {
    let home = tempfile::tempdir().unwrap();
    let seen = |recipe: &Recipe, name: &str| {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let run = TestRun { objective: &|_| Box::new(RecordingObjective(notes.clone())), ..TestRun::default() };
        run.start(recipe, &home.path().join(name)).unwrap();
        notes.lock().unwrap().clone()
    };
    let one = recipe(&["stages.0.steps=6", "stages.0.eval_every=1.0"]);
    let mut two = recipe(&["stages.0.steps=3", "stages.0.eval_every=1.0"]);
    two.stages.push(StageConfig { name: "more".into(), ..two.stages[0].clone() });
    let (one, two) = (seen(&one, "one"), seen(&two, "two"));
    // The first stage ends with a validation, in as many batches as the end of the other run needs.
    let validation = one.len() - 6;
    assert_eq!([&two[..3], &two[3 + validation..6 + validation]].concat(), one[..6]);
}
