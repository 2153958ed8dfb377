//! Shapes of JSON files.

use super::*;

#[test]
fn the_shape_follows_from_the_first_lines() {
    let shape = |start: &str| json_shape(start.as_bytes());
    assert_eq!(shape("\n {\"text\": \"a\"}\n{}"), Some(JsonShape::Lines));
    assert_eq!(shape("{\"text\": \"a\""), Some(JsonShape::Lines));
    assert_eq!(shape("{\n  \"text\": \"a\"\n}"), Some(JsonShape::MultilineObjects));
    assert_eq!(shape("{\"text\":\n\n \"a\"}"), Some(JsonShape::MultilineObjects));
    // A damaged first line of JSON lines.
    assert_eq!(shape("{\"text\": \n{\"text\": \"a\"}\n"), Some(JsonShape::Lines));
    assert_eq!(shape("  [\n"), Some(JsonShape::Array));
    assert_eq!(shape("\"a\"\n\"b\"\n"), Some(JsonShape::Lines));
    assert_eq!(shape("text"), None);
    assert_eq!(shape(""), None);
}

#[test]
fn rows_are_recognized_by_the_text_field() {
    let has =
        |start: &str, is_strict| has_rows(json_shape(start.as_bytes()).unwrap(), start.as_bytes(), "text", is_strict);
    assert!(has("{\"text\": \"a\"}\n", true));
    assert!(has("{\"id\": 1}\n{\"text\": null}\n", true));
    assert!(!has("{\"id\": 1}\n{\"id\": 2}\n", true));
    assert!(!has("{\"text\": \"a\"}\nprose\n", true));
    assert!(has("{\"text\": \"a\"}\n{\"text\n", false));
    assert!(has("[{\"text\": \"a\"}, {\"tex", true));
    // A first row that is longer than the start of the file.
    let long = format!("{{\"text\": \"{}", "a".repeat(super::super::open::START_BYTES));
    assert!(has(&long, false));
    assert!(!has(&long.replace("text", "body"), false));
}
