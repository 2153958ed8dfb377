//! Tables in plain text.

/// Columns as wide as their widest cell, two spaces between them; numbers (columns named in `right`) to the right.
pub fn format_table(head: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_string()).collect();
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let cell = |(column, text): (usize, &String)| {
        let pad = " ".repeat(widths[column].saturating_sub(text.chars().count()));
        if right.contains(&column) { pad + text } else { text.clone() + &pad }
    };
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().take(widths.len()).enumerate().map(cell).collect();
        cells.join("  ").trim_end().to_string()
    };
    all().map(line).collect::<Vec<_>>().join("\n")
}

/// Names and what belongs to them, without a heading.
pub fn format_pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name}{}  {value}", " ".repeat(width - name.chars().count()));
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
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
