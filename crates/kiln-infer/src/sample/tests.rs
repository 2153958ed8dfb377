use super::*;
use proptest::prelude::*;

const LOGITS: [f32; 10] = [2.0, -1.5, 0.25, 3.0, 3.0, -0.75, 1.0, -4.0, 0.5, 2.5];

/// Probabilities of [`LOGITS`] by the warpers of transformers 5.23.0, for temperature, top-k, top-p and min-p.
type Case = (f64, Option<usize>, Option<f64>, Option<f64>, [f64; 10]);
const CASES: [Case; 9] = [
    (
        1.0,
        None,
        None,
        None,
        [0.111773, 0.003375, 0.019423, 0.303832, 0.303832, 0.007145, 0.041119, 0.000277, 0.024940, 0.184283],
    ),
    (
        0.7,
        None,
        None,
        None,
        [0.084361, 0.000568, 0.006925, 0.352015, 0.352015, 0.001660, 0.020217, 0.000016, 0.009897, 0.172326],
    ),
    (1.0, Some(4), None, None, [0.123681, 0.0, 0.0, 0.336201, 0.336201, 0.0, 0.0, 0.0, 0.0, 0.203916]),
    (1.0, Some(1), None, None, [0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]),
    (1.0, None, Some(0.8), None, [0.123681, 0.0, 0.0, 0.336201, 0.336201, 0.0, 0.0, 0.0, 0.0, 0.203916]),
    (1.5, None, Some(0.5), None, [0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]),
    (1.0, None, None, Some(0.2), [0.123681, 0.0, 0.0, 0.336201, 0.336201, 0.0, 0.0, 0.0, 0.0, 0.203916]),
    (0.8, Some(7), Some(0.9), Some(0.1), [0.101534, 0.0, 0.0, 0.354388, 0.354388, 0.0, 0.0, 0.0, 0.0, 0.189690]),
    (
        2.0,
        Some(9),
        Some(0.95),
        Some(0.25),
        [0.141298, 0.0, 0.058902, 0.232961, 0.232961, 0.0, 0.085702, 0.0, 0.066745, 0.181431],
    ),
];

#[test]
fn probabilities_equal_those_of_hugging_face() {
    for (temperature, top_k, top_p, min_p, want) in CASES {
        let sampling = Sampling { temperature, top_k, top_p, min_p, ..Sampling::default() };
        let have = sampling.probabilities(&LOGITS).expect("finite");
        for (have, want) in have.iter().zip(want) {
            assert!((have - want).abs() < 1e-6 && (want > 0.0 || *have == 0.0), "{sampling:?}: {have} {want}");
        }
    }
}

#[test]
fn greedy_sampling_returns_the_first_most_probable_token() {
    assert_eq!(Sampling::greedy().sample(&LOGITS, 5, 1).expect("finite"), 3);
    let cold = Sampling { temperature: 1e-300, top_k: Some(1), ..Sampling::default() };
    assert!(matches!(cold.sample(&LOGITS, 0, 0), Ok(3 | 4)));
}

#[test]
fn frequencies_of_samples_match_the_probabilities() {
    let sampling = Sampling { temperature: 1.3, top_k: Some(6), seed: 11, ..Sampling::default() };
    let want = sampling.probabilities(&LOGITS).expect("finite");
    let mut counts = [0.0; LOGITS.len()];
    let draws = 20_000;
    for step in 0..draws {
        counts[sampling.sample(&LOGITS, step, step % 7).expect("finite") as usize] += 1.0 / draws as f64;
    }
    for (have, want) in counts.iter().zip(want) {
        assert!((have - want).abs() < 5.0 * (want * (1.0 - want) / draws as f64).sqrt() + 1e-12, "{have} {want}");
    }
}

#[test]
fn samples_depend_on_seed_step_and_row_only() {
    let draws = |seed, row| -> Vec<u32> {
        let sampling = Sampling { seed, ..Sampling::default() };
        (0..40).map(|step| sampling.sample(&LOGITS, step, row).expect("finite")).collect()
    };
    assert_eq!(draws(1, 0), draws(1, 0));
    assert_ne!(draws(1, 0), draws(2, 0));
    assert_ne!(draws(1, 0), draws(1, 1));
}

#[test]
fn values_out_of_range_are_errors_with_their_key() {
    let table = [
        (
            Sampling { temperature: -1.0, ..Sampling::default() },
            "sampling.temperature: expected a number of at least 0",
        ),
        (Sampling { temperature: f64::NAN, ..Sampling::default() }, "sampling.temperature: "),
        (Sampling { temperature: f64::INFINITY, ..Sampling::default() }, "sampling.temperature: "),
        (Sampling { top_k: Some(0), ..Sampling::default() }, "sampling.top_k: "),
        (Sampling { top_p: Some(0.0), ..Sampling::default() }, "sampling.top_p: "),
        (Sampling { top_p: Some(1.5), ..Sampling::default() }, "sampling.top_p: "),
        (Sampling { top_p: Some(f64::NAN), ..Sampling::default() }, "sampling.top_p: "),
        (Sampling { top_h: Some(0.0), ..Sampling::default() }, "sampling.top_h: "),
        (Sampling { typical_p: Some(1.1), ..Sampling::default() }, "sampling.typical_p: "),
        (Sampling { epsilon_cutoff: Some(1.0), ..Sampling::default() }, "sampling.epsilon_cutoff: "),
        (Sampling { eta_cutoff: Some(-0.1), ..Sampling::default() }, "sampling.eta_cutoff: "),
        (Sampling { min_p: Some(-0.1), ..Sampling::default() }, "sampling.min_p: "),
        (Sampling { min_p: Some(f64::NAN), ..Sampling::default() }, "sampling.min_p: "),
    ];
    for (sampling, text) in table {
        let error = sampling.check("sampling").expect_err("out of range").to_string();
        assert!(error.starts_with(text), "{error}");
    }
    assert_eq!(Sampling { top_p: Some(1.0), min_p: Some(0.0), ..Sampling::greedy() }.check(""), Ok(()));
}

#[test]
fn logits_that_are_not_finite_are_an_error() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut logits = LOGITS;
        logits[2] = bad;
        for sampling in [Sampling::greedy(), Sampling::default()] {
            let error = sampling.sample(&logits, 3, 1).expect_err("broken").to_string();
            assert_eq!(
                error,
                "the logits of new token 3 of prompt 1 are not finite: the weights are damaged or training diverged"
            );
        }
    }
    assert!(Sampling::default().sample(&[], 0, 0).is_err());
    assert!(Sampling::default().sample(&[f32::NEG_INFINITY], 0, 0).is_err());
    assert!(matches!(Sampling::default().sample(&[f32::NEG_INFINITY, 0.0], 0, 0), Ok(1)));
}

/// Tokens that the filters keep, from their definitions.
fn brute_force(logits: &[f32], sampling: &Sampling) -> Vec<bool> {
    let scaled: Vec<f64> = logits.iter().map(|x| f64::from(*x) / sampling.temperature).collect();
    let shares = |kept: &[bool]| -> Vec<f64> {
        let weight = |i: usize| if kept[i] { (scaled[i] - 20.0).exp() } else { 0.0 };
        let total: f64 = (0..scaled.len()).map(weight).sum();
        (0..scaled.len()).map(|i| weight(i) / total).collect()
    };
    let mut kept = vec![true; logits.len()];
    if let Some(k) = sampling.top_k {
        kept = (0..logits.len()).map(|i| scaled.iter().filter(|x| **x > scaled[i]).count() < k).collect();
    }
    if let Some(p) = sampling.top_p {
        let share = shares(&kept);
        let above = |i: usize| -> f64 {
            let before = |j: &usize| share[*j] > share[i] || (share[*j] == share[i] && *j < i);
            (0..share.len()).filter(before).map(|j| share[j]).sum()
        };
        kept = (0..logits.len()).map(|i| kept[i] && above(i) < p - 1e-12).collect();
    }
    if let Some(p) = sampling.min_p {
        let share = shares(&kept);
        let most = share.iter().copied().fold(0.0, f64::max);
        kept = (0..logits.len()).map(|i| kept[i] && share[i] >= p * most * (1.0 - 1e-12)).collect();
    }
    kept
}

fn optional<S: Strategy>(inner: S) -> impl Strategy<Value = Option<S::Value>>
where
    S::Value: Clone,
{
    proptest::option::of(inner)
}

proptest! {
    #[test]
    fn filters_match_their_definitions(
        logits in proptest::collection::vec(-8i32..8, 1..30),
        temperature in 0.3f64..3.0,
        top_k in optional(1usize..20),
        top_p in optional(0.05f64..1.0),
        min_p in optional(0.0f64..1.0),
    ) {
        let logits: Vec<f32> = logits.into_iter().map(|x| x as f32 * 0.5).collect();
        let sampling = Sampling { temperature, top_k, top_p, min_p, seed: 1, ..Sampling::default() };
        let have = sampling.probabilities(&logits).expect("finite");
        let kept: Vec<bool> = have.iter().map(|p| *p > 0.0).collect();
        prop_assert_eq!(&kept, &brute_force(&logits, &sampling));
        prop_assert!((have.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(kept[sampling.sample(&logits, 0, 0).expect("finite") as usize]);
    }
}
