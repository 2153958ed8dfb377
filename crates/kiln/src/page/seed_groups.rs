//! Groups of runs that differ in nothing but the seed, with the mean and the spread of their results.
//!
//! Two settings can only be told apart if they differ by more than two seeds of one setting do. The comparison therefore
//! shows runs that differ only in `seed` as one group.

use super::data::ComparedRun;
use std::collections::BTreeMap;

/// The recipe key that may differ within a group.
const SEED_KEY: &str = "seed";

/// Runs of one setting. A run without other seeds is a group of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedGroup {
    /// Positions in the comparison, in order.
    pub members: Vec<usize>,
}

/// Mean and spread of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanSpread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation, √(Σ(x − mean)² / (n − 1)). `None` for one value.
    pub standard_deviation: Option<f64>,
}

/// Groups the runs, in the order of their first members. Every run is in one group.
pub fn seed_groups(runs: &[ComparedRun]) -> Vec<SeedGroup> {
    let mut groups: Vec<SeedGroup> = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let same = groups.iter_mut().find(|group| settings(&runs[group.members[0]]) == settings(run));
        match same {
            Some(group) => group.members.push(index),
            None => groups.push(SeedGroup { members: vec![index] }),
        }
    }
    groups
}

/// The recipe keys that differ between the runs, without the seed.
fn settings(run: &ComparedRun) -> BTreeMap<&String, &String> {
    run.config_diff.iter().filter(|(key, _)| *key != SEED_KEY).collect()
}

impl SeedGroup {
    /// Mean and spread of a value over the runs that have it; non-finite values are left out. `None` if no run has it.
    pub fn mean_spread(&self, runs: &[ComparedRun], value: impl Fn(&ComparedRun) -> Option<f64>) -> Option<MeanSpread> {
        let values: Vec<f64> =
            self.members.iter().filter_map(|index| value(&runs[*index])).filter(|value| value.is_finite()).collect();
        MeanSpread::of(&values)
    }
}

impl MeanSpread {
    /// Mean and sample standard deviation. `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        (!values.is_empty())
            .then_some(Self { mean, standard_deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()) })
    }

    /// `1.650`, or `1.650 ± 0.012` with a standard deviation.
    pub fn format(self) -> String {
        let spread = self.standard_deviation.map(|deviation| format!("\u{a0}±\u{a0}{deviation:.3}"));
        format!("{:.3}{}", self.mean, spread.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(settings: &[(&str, &str)], loss: f64) -> ComparedRun {
        let config_diff = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        ComparedRun { config_diff, validation_loss: Some(loss), ..ComparedRun::default() }
    }

    #[test]
    fn runs_that_differ_in_the_seed_only_are_one_group() {
        let runs = [
            run(&[("seed", "0"), ("model.position", "rotary")], 1.0),
            run(&[("seed", "0"), ("model.position", "alibi")], 2.0),
            run(&[("seed", "1"), ("model.position", "rotary")], 1.2),
        ];
        let groups = seed_groups(&runs);
        assert_eq!(groups.iter().map(|group| group.members.clone()).collect::<Vec<_>>(), [vec![0, 2], vec![1]]);
        let spread = groups[0].mean_spread(&runs, |run| run.validation_loss).unwrap();
        assert_eq!(spread.format(), "1.100\u{a0}±\u{a0}0.141");
        assert_eq!(groups[1].mean_spread(&runs, |run| run.validation_loss).unwrap().format(), "2.000");
        assert_eq!(groups[1].mean_spread(&runs, |_| Some(f64::NAN)), None);
    }
}
