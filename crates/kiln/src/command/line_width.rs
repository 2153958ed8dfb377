//! Lines that fit a terminal of 80 columns. Widths are counted in characters, not in terminal columns.

/// Width of a line in characters.
pub const LINE_WIDTH: usize = 80;

/// Space before the continuation of a line.
const INDENT: &str = "  ";

/// Breaks each line of a text at spaces where it is longer than [`LINE_WIDTH`]. The continuation of a line is indented like
/// the line, and by two spaces more. Words are not broken, so that paths stay whole.
pub fn fold_lines(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let spaces = line.len() - line.trim_start().len();
        let indent = &line[..spaces];
        let words: Vec<String> = line[spaces..].split(' ').map(str::to_owned).collect();
        lines.push(join_folded(&words, " ", indent));
    }
    lines.join("\n")
}

/// Joins parts by a separator, and breaks the line between two parts where it would be longer than [`LINE_WIDTH`].
pub fn fold_parts(parts: &[String], separator: &str) -> String {
    join_folded(parts, separator, "")
}

fn join_folded(parts: &[String], separator: &str, indent: &str) -> String {
    let mut text = indent.to_owned();
    let mut width = indent.chars().count();
    for (index, part) in parts.iter().enumerate() {
        let next = separator.chars().count() + part.chars().count();
        if index > 0 && width + next > LINE_WIDTH {
            text = text.trim_end().to_owned() + "\n" + indent + INDENT + part;
            width = indent.chars().count() + INDENT.len() + part.chars().count();
        } else {
            text += if index > 0 { separator } else { "" };
            text += part;
            width += if index > 0 { next } else { part.chars().count() };
        }
    }
    text
}

/// A list of names with descriptions, in two columns. Descriptions continue in their column.
pub fn format_descriptions(head: [&str; 2], rows: &[(String, String)]) -> String {
    let names = rows.iter().map(|(name, _)| name.chars().count());
    let name_width = names.chain([head[0].chars().count()]).max().unwrap_or(0);
    let mut lines = vec![format!("{:name_width$}  {}", head[0], head[1])];
    for (name, description) in rows {
        let wrapped = super::metrics_text::wrap_text(description, LINE_WIDTH - name_width - INDENT.len());
        for (index, line) in wrapped.iter().enumerate() {
            let name = if index == 0 { name.as_str() } else { "" };
            lines.push(format!("{name:name_width$}  {line}").trim_end().to_owned());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_spaces_and_words_stay_whole() {
        let word = "abcdefghi ".repeat(20);
        let folded = fold_lines(&format!("{word}\n  › {word}"));
        assert!(folded.lines().all(|line| line.chars().count() <= LINE_WIDTH), "{folded}");
        assert_eq!(folded.split_whitespace().filter(|word| *word == "abcdefghi").count(), 40);
        assert!(folded.lines().nth(1).unwrap().starts_with("  abc"));
        assert!(folded.lines().last().unwrap().starts_with("    abc"));
        let path = format!("run folder: /{}", "folder/".repeat(20));
        assert_eq!(fold_lines(&path), path.replacen(": ", ":\n  ", 1), "a path is not broken");
        assert_eq!(fold_lines("short\n\n  as it is"), "short\n\n  as it is");
    }

    #[test]
    fn descriptions_continue_in_their_column() {
        let rows = [("a".into(), "word ".repeat(30)), ("name".into(), "Short.".into())];
        let text = format_descriptions(["key", "description"], &rows);
        assert!(text.lines().all(|line| line.chars().count() <= LINE_WIDTH), "{text}");
        assert_eq!(text.lines().next(), Some("key   description"));
        assert!(text.lines().nth(2).unwrap().starts_with("      word"));
        assert_eq!(text.lines().last(), Some("name  Short."));
    }
}
