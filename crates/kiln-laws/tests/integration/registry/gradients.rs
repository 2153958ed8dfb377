//! Laws on gradients: the same sum in any layout, and finite values.

use crate::registry::{Verdict, shape::rows};
use kiln_infer::equivalence::ModelRunner;
use kiln_laws::{
    device,
    loss::{DocumentRows, loss, loss_gradients},
    parameters::{ByPath, gradients, relative_difference, sum_values},
    strategies::VOCAB,
    test_case::{TestCase, TestModel},
};
use kiln_nn::{Context, context::RngKey, part::experts::is_selection_bias};

/// Tolerance relative to the largest gradient: sums of a few hundred numbers in `f64`.
const EXACT: f64 = 1e-9;

/// Packed, padded and separate documents have the same gradients.
pub fn gradients_add_up(subject: &TestCase) -> Verdict {
    let (run, direction) = (subject.model_f64(&device().autodiff()), subject.direction());
    let document = |length: u32| (0..length).map(|i| (7 * i + length) % VOCAB as u32).collect();
    let documents: Vec<Vec<u32>> = [6, 1, 4].map(document).into();
    let alone = sum_values(
        DocumentRows::separate(&documents, direction).iter().map(|rows| loss_gradients(&run, rows)).collect(),
    );
    let ways = [
        ("packed", DocumentRows::packed(&documents, direction, 0)),
        ("packed and padded", DocumentRows::packed(&documents, direction, 2)),
        ("side by side", DocumentRows::padded(&documents, direction, 1)),
    ];
    for (way, rows) in ways {
        let found = loss_gradients(&run, &rows);
        if !found.keys().eq(alone.keys()) {
            return Err(format!("{way}, other parameters have gradients"));
        }
        let apart = relative_difference(&alone, &found);
        if apart.is_nan() || apart > EXACT {
            return Err(format!("{way}: gradients are {apart:e} apart"));
        }
    }
    Ok(())
}

/// Gradients in training, auxiliary losses included.
fn training_gradients(run: &TestModel, rows: &DocumentRows) -> ByPath<Vec<f64>> {
    let mut cx = Context::training(&rows.layout(), RngKey { seed: 1, step: 2, micro_batch: 0 }, &device());
    let main = loss(run, rows, &mut cx);
    let all = cx.take_auxiliary_losses().into_iter().fold(main, |sum, added| sum + added.value * added.weight);
    gradients(run.model(), &all.backward())
}

/// Every parameter but selection biases has a gradient and every gradient is finite, at initial weights and at perturbed ones.
pub fn finite(subject: &TestCase) -> Verdict {
    let device = device().autodiff();
    for run in [subject.model(9, &device), subject.model_f64(&device)] {
        let rows = rows(subject);
        let (mut found, trained) = (loss_gradients(&run, &rows), training_gradients(&run, &rows));
        for (path, gradient) in trained {
            found.entry(path).or_default().extend(gradient);
        }
        if let Some((path, _)) = found.iter().find(|(_, gradient)| !gradient.iter().all(|x| x.is_finite())) {
            return Err(format!("the gradient of {path} is no number"));
        }
        let parameters = kiln_models::named_parameters(run.model());
        let all = parameters.iter().filter(|parameter| !is_selection_bias(&parameter.path)).count();
        if found.len() != all {
            return Err(format!("{} of {all} parameters have a gradient", found.len()));
        }
    }
    Ok(())
}
