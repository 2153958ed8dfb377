//! The results of a comparison in words and as a table: runs by their final loss, seeds of one setting together.

use serde::Serialize;
use std::collections::BTreeSet;

use super::data::ComparedRun;
use super::number_format::{format_count, format_duration, loss_label};
use super::seed_groups::{MeanSpread, SeedGroup};

/// A row of the table of final results.
#[derive(Serialize)]
pub struct FinalMetrics {
    pub name: String,
    pub color: usize,
    pub loss: String,
    /// Nats above the best row of its kind; empty for the best.
    pub loss_gap: String,
    pub bits_per_byte: String,
    pub wall_time: String,
    pub tokens_per_second: String,
    pub parameters: String,
    pub tokens: String,
    pub is_best: bool,
    /// Number of seeds of a group; 0 for a single run.
    pub seeds: usize,
    /// Whether the row is a run of the group above it.
    pub is_member: bool,
}

/// A setting with a finite validation loss, from one or several runs.
#[derive(Clone)]
pub struct RankedGroup<'a> {
    /// Position among the groups, which is its color.
    pub color: usize,
    pub group: &'a SeedGroup,
    /// Mean of the runs that have a loss.
    pub loss: MeanSpread,
    /// Mean training time.
    seconds: f64,
}

/// Validation loss at the end of a run; `None` if it is missing, infinite or not a number.
pub fn finite_loss(run: &ComparedRun) -> Option<f64> {
    run.validation_loss.filter(|loss| loss.is_finite())
}

/// The units of the losses of all runs, such as `nats per token`. Losses of different units cannot be compared.
fn loss_units(runs: &[ComparedRun]) -> BTreeSet<String> {
    runs.iter().map(|run| loss_label(&run.loss_unit)).collect()
}

/// The units of the losses: one, or several with commas.
pub fn loss_units_label(runs: &[ComparedRun]) -> String {
    loss_units(runs).into_iter().collect::<Vec<_>>().join(", ")
}

/// The groups that have a loss, lowest mean first. None if the losses have different units.
pub fn rank_groups<'a>(runs: &[ComparedRun], groups: &'a [SeedGroup]) -> Vec<RankedGroup<'a>> {
    if loss_units(runs).len() > 1 {
        return Vec::new();
    }
    let ranked = groups.iter().enumerate().filter_map(|(color, group)| {
        let loss = group.mean_spread(runs, finite_loss)?;
        let seconds = group.mean_spread(runs, |run| Some(run.seconds)).map_or(f64::INFINITY, |time| time.mean);
        Some(RankedGroup { color, group, loss, seconds })
    });
    let mut ranked: Vec<RankedGroup> = ranked.collect();
    ranked.sort_by(|a, b| a.loss.mean.total_cmp(&b.loss.mean));
    ranked
}

/// Name of a group: that of its run, or those of all its runs.
fn group_name(runs: &[ComparedRun], group: &SeedGroup) -> String {
    group.members.iter().map(|index| runs[*index].name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Names the best setting and, if it is another one, the fastest.
///
/// The fastest is named only if it is faster than the best one, with the difference of the losses in nats.
pub fn summary(runs: &[ComparedRun], groups: &[SeedGroup]) -> String {
    let ranked = rank_groups(runs, groups);
    let units = loss_units(runs);
    let Some(best) = ranked.first() else {
        let is_mixed = units.len() > 1 && runs.iter().any(|run| finite_loss(run).is_some());
        let units = units.into_iter().collect::<Vec<_>>().join(" and ");
        return match is_mixed {
            true => format!("The losses are not comparable: they are in {units}."),
            false => "No run has been evaluated yet.".into(),
        };
    };
    let unit = units.into_iter().next().unwrap_or_default();
    let time = format_duration(best.seconds);
    let name = group_name(runs, best.group);
    let loss = best.loss.format();
    let lead = match best.group.members.len() {
        1 => format!("{name} has the lowest validation loss, {loss} {unit}, after {time}"),
        seeds => {
            format!("{name} ({seeds} seeds) have the lowest mean validation loss, {loss} {unit}, after {time}")
        }
    };
    let fastest = ranked.iter().min_by(|a, b| a.seconds.total_cmp(&b.seconds));
    match fastest.filter(|other| other.seconds < best.seconds) {
        Some(fastest) => {
            let (name, time) = (group_name(runs, fastest.group), format_duration(fastest.seconds));
            let verbs = if fastest.group.members.len() == 1 { ("is", "ends") } else { ("are", "end") };
            let gap = fastest.loss.mean - best.loss.mean;
            format!("{lead}; {name} {} the fastest, {time}, and {} {gap:.3} above it.", verbs.0, verbs.1)
        }
        None => format!("{lead}."),
    }
}

/// One row per setting: those with a loss first, best first. A group of several seeds is followed by its runs.
pub fn final_metrics(runs: &[ComparedRun], groups: &[SeedGroup]) -> Vec<FinalMetrics> {
    let ranked = rank_groups(runs, groups);
    let lowest = ranked.first().map(|best| best.loss.mean);
    let is_ranked = |group: &SeedGroup| ranked.iter().any(|other| other.group == group);
    let unranked = groups.iter().enumerate().filter(|(_, group)| !is_ranked(group));
    let order = ranked.iter().map(|ranked| (ranked.color, ranked.group)).chain(unranked);
    let mut rows = Vec::new();
    for (color, group) in order {
        match &group.members[..] {
            [only] => rows.push(run_row(&runs[*only], color, lowest)),
            members => {
                rows.push(group_row(runs, group, color, lowest));
                let members = members.iter().map(|index| run_row(&runs[*index], color, None));
                rows.extend(members.map(|row| FinalMetrics { is_member: true, ..row }));
            }
        }
    }
    rows
}

/// The row of a run. `lowest` is the loss of the best setting; `None` for the runs of a group.
fn run_row(run: &ComparedRun, color: usize, lowest: Option<f64>) -> FinalMetrics {
    let loss = finite_loss(run);
    let gap = lowest.zip(loss).map(|(best, loss)| loss - best).filter(|gap| *gap > 0.0);
    FinalMetrics {
        name: run.name.clone(),
        color,
        loss: format_or_dash(loss, |loss| format!("{loss:.3}")),
        loss_gap: gap.map(|gap| format!("+{gap:.3}")).unwrap_or_default(),
        bits_per_byte: format_or_dash(run.bits_per_byte, |bits| format!("{bits:.3}")),
        wall_time: format_duration(run.seconds),
        tokens_per_second: format_or_dash(tokens_per_second(run), |speed| format_count(speed.round())),
        parameters: format_count(run.parameters as f64),
        tokens: format_count(run.tokens as f64),
        is_best: lowest.is_some() && loss == lowest,
        seeds: 0,
        is_member: false,
    }
}

/// The means of a group.
fn group_row(runs: &[ComparedRun], group: &SeedGroup, color: usize, lowest: Option<f64>) -> FinalMetrics {
    let mean = |value: fn(&ComparedRun) -> Option<f64>| group.mean_spread(runs, value);
    let loss = mean(finite_loss);
    let gap = lowest.zip(loss).map(|(best, loss)| loss.mean - best).filter(|gap| *gap > 0.0);
    let first = &runs[group.members[0]];
    FinalMetrics {
        name: group_name(runs, group),
        color,
        loss: loss.map_or("–".into(), MeanSpread::format),
        loss_gap: gap.map(|gap| format!("+{gap:.3}")).unwrap_or_default(),
        bits_per_byte: mean(|run| run.bits_per_byte).map_or("–".into(), MeanSpread::format),
        wall_time: mean(|run| Some(run.seconds)).map_or("–".into(), |time| format_duration(time.mean)),
        tokens_per_second: format_or_dash(mean(tokens_per_second).map(|speed| speed.mean), |speed| {
            format_count(speed.round())
        }),
        // Equal in all runs of a group, whose recipes differ in the seed only.
        parameters: format_count(first.parameters as f64),
        tokens: format_count(first.tokens as f64),
        is_best: loss.is_some() && loss.map(|loss| loss.mean) == lowest,
        seeds: group.members.len(),
        is_member: false,
    }
}

/// Training tokens per second of wall time, evaluations included.
pub fn tokens_per_second(run: &ComparedRun) -> Option<f64> {
    (run.seconds > 0.0).then(|| run.tokens as f64 / run.seconds).filter(|speed| speed.is_finite())
}

/// A dash for a missing or non-finite value.
fn format_or_dash(value: Option<f64>, format: impl Fn(f64) -> String) -> String {
    value.filter(|value| value.is_finite()).map_or("–".into(), format)
}

#[cfg(test)]
mod tests {
    use super::super::seed_groups::seed_groups;
    use super::*;

    fn run(name: &str, setting: &str, validation_loss: Option<f64>, seconds: f64) -> ComparedRun {
        let keys = [("model.position", setting), ("seed", name)];
        let config_diff = keys.map(|(key, value)| (key.to_string(), value.to_string())).into();
        ComparedRun { name: name.into(), config_diff, validation_loss, seconds, ..ComparedRun::default() }
    }

    fn summary_of(runs: &[ComparedRun]) -> String {
        summary(runs, &seed_groups(runs))
    }

    #[test]
    fn the_summary_names_the_best_and_the_fastest() {
        let runs = [run("a", "x", Some(1.70), 60.0), run("b", "y", Some(1.65), 90.0), run("c", "z", None, 5.0)];
        let both = "b has the lowest validation loss, 1.650 nats per token, after 1 min 30 s; a is the fastest, 1 min, and ends 0.050 above it.";
        assert_eq!(summary_of(&runs), both);
        assert_eq!(summary_of(&runs[1..]), "b has the lowest validation loss, 1.650 nats per token, after 1 min 30 s.");
        assert_eq!(summary_of(&[run("c", "x", Some(f64::NAN), 1.0)]), "No run has been evaluated yet.");
        let seeds = [run("a", "x", Some(1.6), 60.0), run("b", "y", Some(1.7), 60.0), run("c", "x", Some(1.6), 60.0)];
        let lead =
            "a, c (2 seeds) have the lowest mean validation loss, 1.600\u{a0}±\u{a0}0.000 nats per token, after 1 min.";
        assert_eq!(summary_of(&seeds), lead);
    }

    #[test]
    fn losses_of_different_units_are_not_ranked() {
        let pairs = ComparedRun { loss_unit: "pair".into(), ..run("a", "x", Some(0.5), 60.0) };
        let runs = [pairs.clone(), run("b", "y", Some(1.65), 90.0)];
        assert_eq!(summary_of(&runs), "The losses are not comparable: they are in nats per pair and nats per token.");
        assert!(final_metrics(&runs, &seed_groups(&runs)).iter().all(|row| !row.is_best && row.loss_gap.is_empty()));
        let lead = "a has the lowest validation loss, 0.500 nats per pair, after 1 min.";
        assert_eq!(summary_of(&[pairs]), lead);
    }

    #[test]
    fn runs_without_a_loss_come_last_and_seeds_stand_together() {
        let runs = [
            run("c", "z", None, 5.0),
            run("a", "x", Some(1.70), 60.0),
            run("b", "y", Some(1.65), 90.0),
            run("d", "x", Some(1.90), 60.0),
        ];
        let rows = final_metrics(&runs, &seed_groups(&runs));
        let rows: Vec<_> = rows.into_iter().map(|f| (f.name, f.loss, f.loss_gap, f.is_best, f.is_member)).collect();
        let expected = [
            ("b", "1.650", "", true, false),
            ("a, d", "1.800\u{a0}±\u{a0}0.141", "+0.150", false, false),
            ("a", "1.700", "", false, true),
            ("d", "1.900", "", false, true),
            ("c", "–", "", false, false),
        ];
        let expected =
            expected.map(|(name, loss, gap, best, member)| (name.into(), loss.into(), gap.into(), best, member));
        assert_eq!(rows, expected);
    }
}
