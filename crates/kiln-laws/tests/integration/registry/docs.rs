//! Pages of docs/ that are generated from the registry. `KILN_BLESS=1` writes them.

use kiln_spec::{Direction, DocumentSpan, Layout, Pattern, plan::dense_mask};
use std::{fs, path::PathBuf};

/// Markers before and after the generated part of a page.
const BEGIN: &str = "<!-- made from the cards: KILN_BLESS=1 cargo test -p kiln-laws registry::docs -->\n";
const END: &str = "<!-- end -->\n";

/// Width and height of a picture, in tokens.
const SIZE: usize = 12;

fn check_page(page: &str, made: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (before, rest) = text.split_once(BEGIN).expect("a place for what is made from the cards");
    let (_, after) = rest.split_once(END).expect("its end");
    let wanted = format!("{before}{BEGIN}{made}{END}{after}");
    if std::env::var_os("KILN_BLESS").is_some() {
        fs::write(&path, &wanted).expect("a page that can be written");
    } else {
        assert!(text == wanted, "docs/{page} is stale: write it anew with KILN_BLESS=1");
    }
}

#[test]
fn the_table_of_variants_is_up_to_date() {
    check_page("variants.md", &format!("{}\n", kiln::variants::markdown()));
}

/// Picture of a pattern, a row for each query: `█` visible also under causal attention, `░` visible only without it.
fn pattern_picture(pattern: &Pattern) -> String {
    let table = |direction| {
        let layout = Layout::packed(&[vec![DocumentSpan { length: SIZE, start: 0, direction }]], SIZE);
        dense_mask(&pattern.visibility_formula(), layout.row(0), layout.row(0))
    };
    let [all, causal] = [Direction::Bidirectional, Direction::Causal].map(table);
    let cell = |at: usize| {
        if causal[at] {
            "█ "
        } else if all[at] {
            "░ "
        } else {
            "· "
        }
    };
    let row = |query: usize| (0..SIZE).map(|key| cell(query * SIZE + key)).collect::<String>().trim_end().to_string();
    (0..SIZE).map(row).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_pictures_of_patterns_are_up_to_date() {
    let drawn = Pattern::CARDS.iter().map(|card| {
        let line = format!("pattern = {}", card.example_toml());
        let read: toml::Table = line.parse().expect("an example is TOML");
        let pattern: Pattern = read["pattern"].clone().try_into().expect("an example is a pattern");
        let (name, paper) = (card.name, card.paper);
        format!(
            "\n## {name}\n\nExample: {pattern}. Paper: {paper}. KV cache: {}.\n\n```text\n{line}\n\n{}\n```\n",
            card.state,
            pattern_picture(&pattern)
        )
    });
    check_page("parts/patterns.md", &format!("{}\n", drawn.collect::<String>()));
}
