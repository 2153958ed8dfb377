//! Intervals of evaluations and checkpoints.
use super::*;

fn stage(steps: u64) -> StageConfig {
    StageConfig { steps, ..StageConfig::default() }
}

/// The steps after which an event with the interval `every` is due in a stage of `steps` steps.
fn due_steps(steps: u64, every: StepsOrFraction) -> Vec<u64> {
    (1..=steps).filter(|&done| stage(steps).is_due(every, done)).collect()
}

#[test]
fn a_fraction_of_one_nth_is_due_n_times_after_the_ceiling_of_its_steps() {
    let lengths = (1..120).chain([400, 977, 1368, 5209]);
    for steps in lengths {
        for count in (1..40u64).chain([50, 60, 100, 1000]) {
            let every = StepsOrFraction::Fraction(1.0 / count as f64);
            let mut expected: Vec<u64> = (1..=count).map(|k| (k * steps).div_ceil(count)).collect();
            expected.dedup();
            assert_eq!(due_steps(steps, every), expected, "{count} times in {steps} steps");
        }
    }
}

#[test]
fn a_whole_number_is_an_interval_in_steps() {
    assert_eq!(due_steps(10, StepsOrFraction::Steps(4)), [4, 8, 10]);
    assert_eq!(due_steps(4, StepsOrFraction::Steps(1)), [1, 2, 3, 4]);
    assert_eq!(due_steps(4, StepsOrFraction::Steps(9)), [4]);
}

#[test]
fn zero_and_the_whole_stage_are_due_after_the_last_step_only() {
    for every in [StepsOrFraction::Steps(0), StepsOrFraction::Fraction(0.0), StepsOrFraction::Fraction(1.0)] {
        assert_eq!(due_steps(7, every), [7]);
    }
}

#[test]
fn a_fraction_that_is_no_reciprocal_counts_from_the_start() {
    assert_eq!(due_steps(10, StepsOrFraction::Fraction(0.4)), [4, 8, 10]);
    assert_eq!(due_steps(3, StepsOrFraction::Fraction(1e-6)), [1, 2, 3]);
}

#[test]
fn built_in_intervals_are_due_after_the_documented_steps() {
    let stories = [137, 274, 411, 548, 684, 821, 958, 1095, 1232, 1368];
    assert_eq!(due_steps(1368, StepsOrFraction::Fraction(0.1)), stories);
    assert_eq!(due_steps(1368, StepsOrFraction::Fraction(0.25)), [342, 684, 1026, 1368]);
    assert_eq!(due_steps(977, StepsOrFraction::Fraction(0.25)), [245, 489, 733, 977]);
    assert_eq!(due_steps(30, StepsOrFraction::Fraction(0.3333333333333333)), [10, 20, 30]);
}

#[test]
fn an_evaluation_reads_an_eighth_of_the_tokens_between_two_of_them() {
    let mut stage = stage(1000);
    stage.eval_tokens = 1 << 40;
    stage.resolve();
    let budget = |every: StepsOrFraction| StageConfig { eval_every: every, ..stage.clone() }.eval_set_tokens();
    let tokens = 1000 * 256 * 12;
    assert_eq!(budget(StepsOrFraction::Fraction(1.0 / 3.0)), tokens / 3 / 8);
    assert_eq!(budget(StepsOrFraction::Fraction(0.4)), tokens * 2 / 5 / 8);
    assert_eq!(budget(StepsOrFraction::Steps(50)), 50 * 256 * 12 / 8);
    assert_eq!(budget(StepsOrFraction::Steps(0)), tokens / 8);
    assert_eq!(budget(StepsOrFraction::Fraction(0.0)), tokens / 8);
    assert_eq!(budget(StepsOrFraction::Steps(1)), 4096, "a short run has a set of some size too");
}
