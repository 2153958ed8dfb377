//! Laws on visibility: causality, and independence of the layout.

use crate::registry::Verdict;
use burn::tensor::{Int, Tensor, TensorData};
use kiln_infer::{block_on, equivalence, equivalence::ModelRunner};
use kiln_laws::{
    device,
    parameters::gradients,
    strategies::VOCAB,
    test_case::{TestCase, TestModel},
};
use kiln_nn::Context;
use kiln_spec::{Direction, Layout, Random};

/// Length of the document whose Jacobian is computed. All its tokens differ.
const LENGTH: usize = 7;

/// Lengths of documents: one, two equal ones, three different ones.
const DOCUMENTS: [&[usize]; 3] = [&[9], &[6, 6], &[8, 3, 1]];

pub fn documents(lengths: &[usize]) -> Vec<Vec<u32>> {
    let document = |(d, length): (usize, &usize)| (0..*length).map(|i| ((5 * i + 2 * d) % VOCAB) as u32).collect();
    lengths.iter().enumerate().map(document).collect()
}

fn forward(run: &TestModel, tokens: &[i32]) -> Tensor<3> {
    let (device, layout) =
        (run.model().device(), Layout::from_offsets(&[0], &[tokens.len()], tokens.len(), Direction::Causal));
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens.to_vec(), [1, tokens.len()]), &device);
    run.forward(tokens, &mut Context::new(&layout, &device))
}

/// Causality: the Jacobian of outputs by inputs is exactly 0 above its diagonal and not on it. Other later tokens
/// change no output either, so that a jump without a derivative is detected too.
pub fn causal(subject: &TestCase) -> Verdict {
    let run = subject.model_f64(&device().autodiff());
    let tokens: Vec<i32> = (0..LENGTH as i32).collect();
    for at in 0..LENGTH {
        let hidden = forward(&run, &tokens).narrow(1, at, 1);
        let mut random = Random::new(3, "weights", at as u64, 0);
        let weights: Vec<f64> = (0..subject.config.hidden).map(|_| random.normal()).collect();
        let weights = Tensor::<3>::from_data(TensorData::new(weights, hidden.dims()), (&device(), hidden.dtype()));
        let found = gradients(run.model(), &(hidden * weights).sum().backward());
        let width = subject.config.embedding.table_width(subject.config.hidden);
        let slopes: Vec<&[f64]> = found["embedding"].chunks(width).collect();
        if let Some(later) = (at + 1..LENGTH).find(|later| slopes[*later].iter().any(|slope| *slope != 0.0)) {
            return Err(format!("place {at} depends on place {later}"));
        }
        if slopes[at].iter().all(|slope| *slope == 0.0) {
            return Err(format!("place {at} does not depend on itself"));
        }
    }
    check_later_tokens(&subject.model_f64(&device()), &tokens)
}

fn check_later_tokens(run: &TestModel, tokens: &[i32]) -> Verdict {
    let before = |tokens: &[i32], cut| -> Vec<f64> {
        forward(run, tokens).narrow(1, 0, cut).into_data().iter::<f64>().collect()
    };
    for cut in [1, 3, 6] {
        let others: Vec<i32> = tokens.iter().enumerate().map(|(i, id)| if i < cut { *id } else { 10 - id }).collect();
        let (a, b) = (before(tokens, cut), before(&others, cut));
        let far = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        if far > 1e-12 {
            return Err(format!("other tokens from place {cut} on change what is before by {far:e}"));
        }
    }
    Ok(())
}

/// Checks that a difference is within the tolerance, in `f64` and in `f32`.
pub fn check_difference(subject: &TestCase, difference: impl Fn(&TestModel) -> (f64, String)) -> Verdict {
    for (run, most) in subject.models_with_tolerance() {
        let (apart, what) = difference(&run);
        if apart.is_nan() || apart > most {
            return Err(format!("{what}: {apart:e} apart, at most {most:e}"));
        }
    }
    Ok(())
}

/// Documents that are read in chunks, alone and together, give the results of whole ones.
pub fn chunked(subject: &TestCase) -> Verdict {
    for lengths in DOCUMENTS {
        for chunks in [&[1][..], &[3], &[2, 5, 1]] {
            check_difference(subject, |run| {
                let apart =
                    block_on(equivalence::chunked_difference(run, &documents(lengths), chunks)).expect("numbers");
                (apart, format!("documents of {lengths:?} in chunks of {chunks:?}"))
            })?;
        }
    }
    Ok(())
}

/// Documents in one row give the results of separate rows.
pub fn packed(subject: &TestCase) -> Verdict {
    check_difference(subject, |run| {
        let documents = documents(&[8, 3, 1, 5]);
        let apart = equivalence::packed_difference(run, &documents, subject.direction());
        (block_on(apart).expect("numbers"), "documents in a row".into())
    })
}

/// Rows with padding give the results of rows without.
pub fn padded(subject: &TestCase) -> Verdict {
    for padding in [0, 3] {
        check_difference(subject, |run| {
            let documents = documents(&[8, 3, 1]);
            let apart = equivalence::padded_difference(run, &documents, subject.direction(), padding);
            (block_on(apart).expect("numbers"), format!("{padding} more places"))
        })?;
    }
    Ok(())
}
