//! Gradients of losses: the same sum however documents are laid out, and numbers.

use crate::{Verdict, form::rows};
use kiln_infer::identities::Run;
use kiln_laws::{
    configs::VOCAB,
    device,
    loss::{Rows, loss, loss_gradients},
    parameters::{ByPath, apart, gradients, sum},
    subject::{Judged, Subject},
};
use kiln_nn::{Cx, cx::Draws};

/// Sums of some hundred numbers in `f64`, as a share of the greatest gradient.
const EXACT: f64 = 1e-9;

/// Packed in a row, side by side with padding, or each alone: one gradient.
pub fn one_sum(subject: &Subject) -> Verdict {
    let (run, direction) = (subject.exact(&device().autodiff()), subject.direction());
    let document = |length: u32| (0..length).map(|i| (7 * i + length) % VOCAB as u32).collect();
    let documents: Vec<Vec<u32>> = [6, 1, 4].map(document).into();
    let alone = sum(Rows::apart(&documents, direction).iter().map(|rows| loss_gradients(&run, rows)).collect());
    let ways = [
        ("packed", Rows::packed(&documents, direction, 0)),
        ("packed and padded", Rows::packed(&documents, direction, 2)),
        ("side by side", Rows::beside(&documents, direction, 1)),
    ];
    for (way, rows) in ways {
        let found = loss_gradients(&run, &rows);
        if !found.keys().eq(alone.keys()) {
            return Err(format!("{way}, other parameters have gradients"));
        }
        let apart = apart(&alone, &found);
        if apart.is_nan() || apart > EXACT {
            return Err(format!("{way}: gradients are {apart:e} apart"));
        }
    }
    Ok(())
}

/// Gradients while training: losses that parts add on the way count too.
fn training(run: &Judged, rows: &Rows) -> ByPath<Vec<f64>> {
    let mut cx = Cx::training(&rows.layout(), Draws { seed: 1, step: 2, part: 0 }, &device());
    let main = loss(run, rows, &mut cx);
    let all = cx.take_losses().into_iter().fold(main, |sum, added| sum + added.value * added.weight);
    gradients(run.model(), &all.backward())
}

/// Every parameter has a gradient, whether it trains or not at that moment, and each is a number: at the weights that a
/// run begins with, and elsewhere.
pub fn finite(subject: &Subject) -> Verdict {
    let device = device().autodiff();
    for run in [subject.model(9, &device), subject.exact(&device)] {
        let rows = rows(subject);
        let (mut found, trained) = (loss_gradients(&run, &rows), training(&run, &rows));
        for (path, gradient) in trained {
            found.entry(path).or_default().extend(gradient);
        }
        if let Some((path, _)) = found.iter().find(|(_, gradient)| !gradient.iter().all(|x| x.is_finite())) {
            return Err(format!("the gradient of {path} is no number"));
        }
        let all = kiln_models::names(run.model()).len();
        if found.len() != all {
            return Err(format!("{} of {all} parameters have a gradient", found.len()));
        }
    }
    Ok(())
}
