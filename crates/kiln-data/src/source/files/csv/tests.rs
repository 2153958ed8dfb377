//! Records, columns and faults of CSV files.

use super::*;

fn rows(csv: &str, field: &str) -> Vec<Result<(String, u64), String>> {
    let reader = FileReader::from_bytes("a.csv", csv.as_bytes().to_vec());
    let file = CsvFile::open(reader, csv.as_bytes(), false, field).unwrap().unwrap();
    file.map(|row| row.map(|row| (row.value, row.number)).map_err(|error| error.to_string())).collect()
}

fn texts(csv: &str) -> Vec<String> {
    rows(csv, "text").into_iter().map(|row| row.unwrap().0).collect()
}

#[test]
fn quotes_delimiters_and_line_ends_are_read() {
    assert_eq!(texts("id,text\n1,a\n2,\"b, \"\"c\"\"\nd\"\n\n3,\"\"\n4, e "), ["a", "b, \"c\"\nd", "", " e "]);
    assert_eq!(texts("text,id\r\na,1\r\n\"b\r\n\",2"), ["a", "b\r\n"]);
    assert_eq!(texts("text\n5\" disk\n\"\"\"\"\n"), ["5\" disk", "\""]);
}

#[test]
fn rows_are_numbered_by_their_first_line() {
    let numbers: Vec<u64> = rows("text\na\n\"b\nc\"\n\nd\n", "text").into_iter().map(|row| row.unwrap().1).collect();
    assert_eq!(numbers, [2, 3, 6]);
}

#[test]
fn the_column_is_chosen_by_name_or_as_the_only_one() {
    assert_eq!(rows("a;text\n1;x, y\n", "text"), [Ok(("x, y".into(), 2))]);
    assert_eq!(rows("id, text\n1,x\n", "text"), [Ok(("x".into(), 2))]);
    assert_eq!(rows("sentence\nx\n", "text"), [Ok(("x".into(), 2))]);
    let error = |csv: &str| {
        let reader = FileReader::from_bytes("a.csv", csv.as_bytes().to_vec());
        CsvFile::open(reader, csv.as_bytes(), false, "text").map(|_| ()).unwrap_err().to_string()
    };
    let reader = FileReader::from_bytes("a.csv", b"sentence\nx\n".to_vec());
    assert!(CsvFile::open(reader, b"sentence\nx\n", false, "body").is_err(), "another field was asked for");
    assert_eq!(error("id,body\n1,x\n"), "a.csv: no field `text`; found `id`, `body`");
    assert_eq!(error("id;body\n1;x\n"), "a.csv: no field `text`; found `id;body`");
    assert!(error("text\rx\ry").contains("carriage return"));
}

#[test]
fn quotes_between_tabs_may_be_text() {
    let tsv = "id\ttext\n1\t\"a\" b\n2\t\"c\td\"\n3\t\"e \"\"f\"\n4\t\"never closed\n5\tg";
    let reader = FileReader::from_bytes("a.tsv", tsv.as_bytes().to_vec());
    let file = CsvFile::open(reader, tsv.as_bytes(), true, "text").unwrap().unwrap();
    let texts: Vec<String> = file.map(|row| row.unwrap().value).collect();
    assert_eq!(texts, ["\"a\" b", "c\td", "e \"f", "\"never closed", "g"]);
}

#[test]
fn faults_spoil_one_row() {
    let spoiled = rows("id,text\n1,\"a\" b\n2,c\n3,d,e\n4\n5,f\n6,\"never\nclosed\n", "text");
    let messages: Vec<Result<&str, &str>> =
        spoiled.iter().map(|row| row.as_ref().map(|(text, _)| text.as_str()).map_err(String::as_str)).collect();
    assert_eq!(
        messages,
        [
            Err("a.csv:2: text follows a closing quote"),
            Ok("c"),
            Err("a.csv:4: found 3 fields, expected 2 as in the header"),
            Err("a.csv:5: found 1 fields, expected 2 as in the header"),
            Ok("f"),
            Err("a.csv:7: a quoted field is never closed"),
            Err("a.csv:8: found 1 fields, expected 2 as in the header"),
        ]
    );
}
