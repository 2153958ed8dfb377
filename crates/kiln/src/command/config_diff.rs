//! What differs between recipes, in as few lines as say it.

use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// Keys whose values are not the same in all recipes, with the value in each. Where a whole table is there in some and
/// not in others, or another alternative stands in its place, it is one line; recipes that share an alternative are then
/// compared among themselves, the others having a dash.
pub fn config_diff(recipes: &[&Table]) -> BTreeMap<String, Vec<String>> {
    let mut found = DiffLines { recipes: recipes.len(), lines: BTreeMap::new() };
    let tables: Vec<Value> = recipes.iter().map(|recipe| Value::Table((*recipe).clone())).collect();
    let all: Vec<usize> = (0..recipes.len()).collect();
    found.compare_at("", &all, &tables.iter().map(Some).collect::<Vec<_>>());
    found.lines
}

/// The lines so far.
struct DiffLines {
    recipes: usize,
    lines: BTreeMap<String, Vec<String>>,
}

impl DiffLines {
    /// Compares what the recipes numbered `of` have at `path`.
    fn compare_at(&mut self, path: &str, of: &[usize], values: &[Option<&Value>]) {
        if values.windows(2).all(|pair| pair[0] == pair[1]) {
            return;
        }
        let below = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
        if let Some(inner) = child_values(values) {
            return inner.iter().for_each(|(key, values)| self.compare_at(&below(key), of, values));
        }
        let mut line = vec!["–".to_string(); self.recipes];
        of.iter().zip(values).for_each(|(recipe, value)| line[*recipe] = format_value(*value));
        self.lines.insert(path.to_string(), line);
        for choice in values.iter().flatten().filter_map(|value| single_key(value)).collect::<BTreeSet<_>>() {
            let has = |value: &Option<&Value>| value.and_then(self::single_key) == Some(choice);
            let (of, values): (Vec<usize>, Vec<Option<&Value>>) =
                of.iter().copied().zip(values.iter().copied()).filter(|(_, value)| has(value)).unzip();
            self.compare_at(path, &of, &values);
        }
    }
}

/// The alternative that a table with one key names.
fn single_key(value: &Value) -> Option<&String> {
    value.as_table().filter(|table| table.len() == 1).and_then(|table| table.keys().next())
}

/// A key or number, and what stands there in each recipe.
type ChildValues<'a> = (String, Vec<Option<&'a Value>>);

/// What stands below, by key or number, if all are tables of one kind or lists of tables.
fn child_values<'a>(values: &[Option<&'a Value>]) -> Option<Vec<ChildValues<'a>>> {
    let tables: Option<Vec<&Table>> = values.iter().map(|value| value.and_then(Value::as_table)).collect();
    if let Some(tables) = tables {
        let choices: BTreeSet<&String> = tables.iter().flat_map(|table| table.keys()).collect();
        if tables.iter().all(|table| table.len() == 1) && choices.len() > 1 {
            return None;
        }
        let keys: BTreeSet<&String> = tables.iter().flat_map(|table| table.keys()).collect();
        return Some(keys.into_iter().map(|key| (key.clone(), tables.iter().map(|t| t.get(key)).collect())).collect());
    }
    let lists: Vec<&Vec<Value>> = values.iter().map(|value| value.and_then(Value::as_array)).collect::<Option<_>>()?;
    if !lists.iter().all(|list| list.iter().any(Value::is_table)) {
        return None;
    }
    let longest = lists.iter().map(|list| list.len()).max().unwrap_or(0);
    Some((0..longest).map(|i| (i.to_string(), lists.iter().map(|list| list.get(i)).collect())).collect())
}

fn format_value(value: Option<&Value>) -> String {
    match value {
        None => "absent".into(),
        Some(Value::Table(table)) if table.len() == 1 => table.keys().next().cloned().unwrap_or_default(),
        Some(Value::Table(_)) => "{ … }".into(),
        Some(Value::Array(list)) if list.iter().any(Value::is_table) => format!("[ {} … ]", list.len()),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(recipes: &[&str]) -> Vec<(String, Vec<String>)> {
        let tables: Vec<Table> = recipes.iter().map(|text| toml::from_str(text).unwrap()).collect();
        config_diff(&tables.iter().collect::<Vec<_>>()).into_iter().collect()
    }

    #[test]
    fn values_are_shown_by_key_and_number() {
        let found = lines(&["a = 1\nb = [1]\n[[e]]\nf = true\n", "a = 2\nb = [1]\n[[e]]\nf = false\n"]);
        let line = |key: &str, a: &str, b: &str| (key.to_string(), vec![a.to_string(), b.to_string()]);
        assert_eq!(found, [line("a", "1", "2"), line("e.0.f", "true", "false")]);
    }

    #[test]
    fn another_alternative_is_one_line() {
        let found = lines(&[
            "p = { rotary = { theta = 1.0, partial_factor = 2 } }",
            "p = { learned = { max_position_embeddings = 9 } }",
            "p = 'none'",
        ]);
        assert_eq!(found, [("p".into(), vec!["rotary".into(), "learned".into(), "\"none\"".into()])]);
        let found = lines(&["p = { a = { n = 1 } }", "p = { a = { n = 2 } }", "p = { b = { n = 1 } }"]);
        let line = |key: &str, values: [&str; 3]| (key.to_string(), values.map(String::from).to_vec());
        assert_eq!(found, [line("p", ["a", "a", "b"]), line("p.a.n", ["1", "2", "–"])]);
        let found = lines(&["b = [{ x = 1, y = 2 }]", "b = [{ x = 1, y = 2 }, { x = 3, y = 4 }]"]);
        assert_eq!(found, [("b.1".into(), vec!["absent".into(), "{ … }".into()])]);
    }
}
