//! The keys of a stage that give its length: `steps`, `epochs` and `tokens`. One of them counts.

use kiln_spec::ValidationError;
use toml::{Table, Value};

/// The keys, by precedence.
const LENGTH_KEYS: [&str; 3] = ["steps", "epochs", "tokens"];

/// The assignments that remove the other lengths of a stage when `assignment` sets one: for `stages.0.epochs=2` those that
/// set `steps` and `tokens` to 0. So the last length that is assigned counts, whatever the recipe has.
pub(super) fn clear_other_lengths(assignment: &str) -> Vec<String> {
    let Some((path, value)) = assignment.split_once('=') else { return Vec::new() };
    let Some((stage, key)) = path.trim().rsplit_once('.') else { return Vec::new() };
    let is_stage = stage.starts_with("stages") && stage.matches(['.', '[']).count() == 1;
    let is_length = value.trim().parse::<f64>().is_ok_and(|length| length > 0.0);
    if !is_stage || !is_length || !LENGTH_KEYS.contains(&key) {
        return Vec::new();
    }
    LENGTH_KEYS.into_iter().filter(|other| *other != key).map(|other| format!("{stage}.{other}=0")).collect()
}

/// Checks that no stage has another length beside `epochs`.
///
/// # Errors
/// The first stage that has.
pub(super) fn check_one_length(recipe: &Table) -> Result<(), ValidationError> {
    let stages = recipe.get("stages").and_then(Value::as_array).into_iter().flatten();
    for (index, stage) in stages.enumerate() {
        let given = |key: &&str| {
            stage.get(key).is_some_and(|length| length.as_float() != Some(0.0) && length.as_integer() != Some(0))
        };
        let others: Vec<&str> = LENGTH_KEYS.into_iter().filter(|key| *key != "epochs" && given(key)).collect();
        if let (true, Some(other)) = (given(&"epochs"), others.first()) {
            let reason = format!("`epochs` and `{other}` both give the length of the stage");
            return Err(ValidationError::new(format!("stages[{index}].epochs"), reason)
                .with_suggestion(format!("remove `epochs` or `{other}`")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assigned_length_replaces_the_others() {
        assert_eq!(clear_other_lengths("stages.*.epochs=2.5"), ["stages.*.steps=0", "stages.*.tokens=0"]);
        assert_eq!(clear_other_lengths("stages[0].steps = 7"), ["stages[0].epochs=0", "stages[0].tokens=0"]);
        for other in
            ["stages.0.steps=0", "stages.0.steps=many", "stages.0.schedule.wsd.decay=3", "model.steps=3", "steps=3"]
        {
            assert!(clear_other_lengths(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn epochs_exclude_another_length() {
        let check = |text: &str| check_one_length(&text.parse().unwrap());
        for text in
            ["epochs = 2", "epochs = 2\nsteps = 0\ntokens = 0", "steps = 4\ntokens = 9", "epochs = 0.0\nsteps = 3"]
        {
            check(&format!("[[stages]]\n{text}")).unwrap();
        }
        let error = check("[[stages]]\n[[stages]]\nepochs = 2\nsteps = 4").unwrap_err();
        assert_eq!(error.path, "stages[1].epochs");
        assert!(check("[[stages]]\nepochs = 2\ntokens = 4").is_err());
    }
}
