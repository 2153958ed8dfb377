//! Tables in plain text, for standard output.
//!
//! No lines are drawn, so that the output can be processed with `awk` and `column`.

/// Spaces between two columns.
const GAP: &str = "  ";

/// A table with a heading. Columns are as wide as their widest cell; the columns in `right` are right-aligned. Widths are
/// counted in characters.
pub fn format_table(head: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_string()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let mut widths = vec![0; head.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line.iter()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    lines.iter().map(|cells| format_line(cells, &widths, right)).collect::<Vec<_>>().join("\n")
}

/// The cells of a line, padded to `widths`, without spaces at the end.
fn format_line(cells: &[String], widths: &[usize], right: &[usize]) -> String {
    let mut padded = Vec::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        padded.push(if right.contains(&column) { padding + cell } else { cell.clone() + &padding });
    }
    padded.join(GAP).trim_end().to_string()
}

/// A table of names and values, without a heading.
pub fn format_pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|(name, value)| {
        let padding = " ".repeat(width - name.chars().count());
        format!("{name}{padding}{GAP}{value}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["ä".into(), "7".into()], vec!["bcd".into(), "12345".into()]];
        assert_eq!(format_table(&["k", "n"], &rows, &[1]), "k        n\nä        7\nbcd  12345");
        assert_eq!(format_pairs(&[("a", "1".into()), ("bc", "2".into())]), "a   1\nbc  2");
    }
}
