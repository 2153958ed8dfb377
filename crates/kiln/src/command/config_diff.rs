//! Differences between recipes, as a short list of keys.
//!
//! Recipes are compared as TOML tables with all defaults filled in, so that a key that one recipe leaves out is equal to a
//! key that another one sets to the default.

use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// Keys whose values differ, with the value in each recipe.
///
/// A table that only some recipes have is one line, and so are different alternatives of a choice (`position = { rotary
/// = … }` and `position = { alibi = … }`). Recipes with the same alternative are then compared with each other; the
/// others have a dash in these lines.
pub fn config_diff(recipes: &[&Table]) -> BTreeMap<String, Vec<String>> {
    let mut diff = DiffLines { recipe_count: recipes.len(), lines: BTreeMap::new() };
    let tables: Vec<Value> = recipes.iter().map(|recipe| Value::Table((*recipe).clone())).collect();
    let members: Vec<(usize, Option<&Value>)> = tables.iter().map(Some).enumerate().collect();
    diff.compare_at("", &members);
    diff.lines
}

/// The lines found so far.
struct DiffLines {
    recipe_count: usize,
    lines: BTreeMap<String, Vec<String>>,
}

/// The number of a recipe and its value at some path.
type Member<'a> = (usize, Option<&'a Value>);

impl DiffLines {
    /// Compares the values of some recipes at `path`.
    ///
    /// The path of an item of a list has its index as a name, such as `stages.0.steps`.
    fn compare_at(&mut self, path: &str, members: &[Member]) {
        if members.windows(2).all(|pair| pair[0].1 == pair[1].1) {
            return;
        }
        if let Some(children) = child_values(members) {
            for (key, members) in children {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                self.compare_at(&path, &members);
            }
            return;
        }
        let mut line = vec!["–".to_string(); self.recipe_count];
        members.iter().for_each(|(recipe, value)| line[*recipe] = format_value(*value));
        self.lines.insert(path.to_string(), line);
        let alternatives: BTreeSet<&String> = members.iter().filter_map(|(_, value)| single_key(*value)).collect();
        for alternative in alternatives {
            let same: Vec<Member> =
                members.iter().copied().filter(|(_, value)| single_key(*value) == Some(alternative)).collect();
            self.compare_at(path, &same);
        }
    }
}

/// The only key of a table with one key: the alternative of a choice.
///
/// `None` for values that are not tables, and for tables with no key or several.
fn single_key(value: Option<&Value>) -> Option<&String> {
    let table = value?.as_table().filter(|table| table.len() == 1)?;
    table.keys().next()
}

/// The values below, by key or index, if all values are tables without different alternatives, or all are lists of
/// tables. `None` for values that are compared as a whole.
///
/// A list that is shorter than the longest has `None` at the missing indexes.
fn child_values<'a>(members: &[Member<'a>]) -> Option<Vec<(String, Vec<Member<'a>>)>> {
    if let Some(tables) = members.iter().map(|(_, value)| value.and_then(Value::as_table)).collect::<Option<Vec<_>>>() {
        let keys: BTreeSet<&String> = tables.iter().flat_map(|table| table.keys()).collect();
        if tables.iter().all(|table| table.len() == 1) && keys.len() > 1 {
            return None;
        }
        let children = keys.into_iter().map(|key| {
            let values = members.iter().zip(&tables).map(|((recipe, _), table)| (*recipe, table.get(key)));
            (key.clone(), values.collect())
        });
        return Some(children.collect());
    }
    let lists: Vec<&Vec<Value>> =
        members.iter().map(|(_, value)| value.and_then(Value::as_array)).collect::<Option<_>>()?;
    if !lists.iter().all(|list| list.iter().any(Value::is_table)) {
        return None;
    }
    let longest = lists.iter().map(|list| list.len()).max().unwrap_or(0);
    let children = (0..longest).map(|index| {
        let values = members.iter().zip(&lists).map(|((recipe, _), list)| (*recipe, list.get(index)));
        (index.to_string(), values.collect())
    });
    Some(children.collect())
}

/// A value on one line. Of a table with one key, the key; of others, an ellipsis.
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
    fn values_are_listed_by_key_and_index() {
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
