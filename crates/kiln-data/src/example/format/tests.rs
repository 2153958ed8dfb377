//! Recognition and conversion of each format in each kind of file, and rows that are not valid.

use super::*;
use crate::{
    DataError, FilesConfig,
    chat::chat_message,
    example::{ChatVariables, ExampleFiles, ExampleSource, TextOrMessages},
};
use proptest::prelude::*;
use serde_json::json;
use std::{fs, io::Write, path::Path};

/// Two rows of each format.
fn rows(format: ExampleFormat) -> [Value; 2] {
    let chat = |answer: &str| json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]);
    match format {
        ExampleFormat::Messages => {
            [json!({"id": "1", "messages": chat("a")}), json!({"id": "2", "messages": chat("b, \"c\"")})]
        }
        ExampleFormat::Conversations => ["a", "b"].map(
            |answer| json!({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": answer}]}),
        ),
        ExampleFormat::PromptCompletion => ["a", "b\nc"].map(|text| json!({"prompt": "q", "completion": text})),
        ExampleFormat::Instruction => {
            ["", "x"].map(|input| json!({"instruction": "do", "input": input, "output": "done"}))
        }
        ExampleFormat::Preference => ["a", "b"].map(|text| json!({"prompt": "q", "chosen": text, "rejected": "no"})),
        ExampleFormat::Labeled => ["0", "1"].map(|label| json!({"text": "t", "label": label})),
        ExampleFormat::Pairs => ["a", "b"].map(|text| json!({"anchor": "q", "positive": text, "negative": "n"})),
        ExampleFormat::Auto | ExampleFormat::Text => unreachable!("no format of several fields"),
    }
}

/// The rows in a file of this extension.
fn file(rows: &[Value], extension: &str) -> Vec<u8> {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    match extension {
        "jsonl" => lines.into_bytes(),
        "json" => Value::from(rows.to_vec()).to_string().into_bytes(),
        "jsonl.zst" => zstd::encode_all(lines.as_bytes(), 3).unwrap(),
        "jsonl.gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(lines.as_bytes()).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let delimiter = if extension == "tsv" { "\t" } else { "," };
            let cell = |value: &Value| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                format!("\"{}\"", text.replace('"', "\"\""))
            };
            let line = |cells: Vec<String>| cells.join(delimiter) + "\n";
            let header = line(rows[0].as_object().unwrap().keys().cloned().collect());
            let body = rows.iter().map(|row| line(row.as_object().unwrap().values().map(cell).collect()));
            (header + &body.collect::<String>()).into_bytes()
        }
    }
}

fn read(path: &Path, format: ExampleFormat) -> Result<Vec<Example>, DataError> {
    let config = FilesConfig::new([path.to_str().unwrap()]);
    ExampleFiles::open(&config, format)?.examples()?.map(|example| Ok(example?.example)).collect()
}

#[test]
fn each_format_is_recognized_and_read_in_each_kind_of_file() {
    let folder = tempfile::tempdir().unwrap();
    for entry in &FORMATS {
        let rows = rows(entry.format);
        let expected: Vec<Example> =
            rows.iter().map(|row| (entry.convert)(row.as_object().unwrap()).unwrap()).collect();
        assert!(expected[0] != expected[1] && expected.iter().all(|example| example.kind() == entry.kind));
        for extension in ["jsonl", "json", "csv", "tsv", "jsonl.gz", "jsonl.zst"] {
            let path = folder.path().join(format!("{}.{extension}", entry.format));
            fs::write(&path, file(&rows, extension)).unwrap();
            let config = FilesConfig::new([path.to_str().unwrap()]);
            let detected = ExampleFiles::detect(&config).unwrap();
            assert_eq!(detected.format, entry.format, "{}", path.display());
            assert_eq!(read(&path, entry.format).unwrap(), expected, "{}", path.display());
        }
    }
}

#[test]
fn parquet_files_with_nested_columns_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/examples");
    let examples = |format: ExampleFormat| {
        let path = folder.join(format!("{format}.parquet"));
        let config = FilesConfig::new([path.to_str().unwrap()]);
        assert_eq!(ExampleFiles::detect(&config).unwrap().format, format);
        read(&path, format).unwrap()
    };
    let chat = |first: &[Value]| Example::Chat { messages: first.to_vec(), variables: ChatVariables::default() };
    let turn = [chat_message("user", "q é"), chat_message("assistant", "a 🐟")];
    let found = examples(ExampleFormat::Messages);
    assert_eq!(found[0], chat(&turn));
    let call = json!([{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]);
    let called = json!({"role": "assistant", "content": null, "tool_calls": call});
    assert_eq!(found[1], chat(&[chat_message("user", "q2"), called]));
    let found = examples(ExampleFormat::Conversations);
    assert_eq!(found, [chat(&turn), chat(&[chat_message("system", "s"), turn[0].clone(), turn[1].clone()])]);
    let Example::Preference { prompt, chosen, .. } = &examples(ExampleFormat::Preference)[0] else { panic!() };
    assert_eq!(*prompt, TextOrMessages::Messages(vec![chat_message("user", "q")]));
    assert_eq!(*chosen, TextOrMessages::Messages(vec![chat_message("assistant", "good")]));
    let Example::Pair { negatives, .. } = &examples(ExampleFormat::Pairs)[0] else { panic!() };
    assert_eq!(negatives, &["n1", "n2"]);
    assert_eq!(examples(ExampleFormat::Labeled), [Example::Labeled { text: "t".into(), label: "3".into() }]);
}

fn detect(files: &[(&str, &str)]) -> Result<ExampleFormat, DataError> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let paths = files.iter().map(|(name, _)| folder.path().join(name).to_str().unwrap().to_owned());
    Ok(ExampleFiles::detect(&FilesConfig::new(paths))?.format)
}

#[test]
fn text_stays_text() {
    for text in
        ["{\"text\": \"a\"}\n", "{\"body\": \"a\"}\n", "{\"text\": \"a\", \"id\": 1, \"prompt\": \"p\"}\n", "", "prose"]
    {
        assert_eq!(detect(&[("a.jsonl", text)]).unwrap(), ExampleFormat::Text, "{text}");
    }
    assert_eq!(detect(&[("a.csv", "sentence\nx\n")]).unwrap(), ExampleFormat::Text);
    assert_eq!(detect(&[("a.txt", "a\nb\n")]).unwrap(), ExampleFormat::Text);
}

#[test]
fn ambiguous_and_mixed_formats_are_errors() {
    let both = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"text\": \"a\"}\n";
    let error = detect(&[("a.jsonl", both)]).unwrap_err();
    assert_eq!(error.kind(), "ambiguous-format");
    assert!(
        error.to_string().ends_with("the fields belong to several formats: messages, text; found `messages`, `text`")
    );
    assert!(error.help().contains("prompt_completion (`prompt`, `completion`)"), "{}", error.help());
    let alpaca = "{\"instruction\": \"a\", \"output\": \"b\"}\n";
    let error = detect(&[("a.jsonl", "{\"text\": \"a\"}"), ("b.jsonl", alpaca)]).unwrap_err();
    assert_eq!(error.kind(), "mixed-formats");
    assert!(error.to_string().contains("b.jsonl: found the format instruction"), "{error}");
    assert!(matches!(detect(&[("a.jsonl", alpaca), ("b.jsonl", alpaca)]), Ok(ExampleFormat::Instruction)));
    // Sentences with a degree of similarity are not all positive pairs.
    let scored = "{\"sentence1\": \"a\", \"sentence2\": \"b\", \"score\": 0.1}\n";
    assert_eq!(detect(&[("a.jsonl", scored)]).unwrap(), ExampleFormat::Text);
}

#[test]
fn a_folder_of_chats_may_have_a_readme() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = rows(ExampleFormat::Messages);
    fs::write(folder.path().join("a.jsonl"), file(&[first, second], "jsonl")).unwrap();
    fs::write(folder.path().join("README.md"), "about").unwrap();
    fs::write(folder.path().join("package.json"), "{\"name\": \"x\"}").unwrap();
    let config = FilesConfig::new([folder.path().to_str().unwrap()]);
    assert_eq!(ExampleFiles::detect(&config).unwrap().format, ExampleFormat::Messages);
    let source = ExampleFiles::open(&config, ExampleFormat::Messages).unwrap();
    source.check(&|| false, &|_| Ok(())).unwrap();
    assert_eq!(source.examples().unwrap().collect::<Result<Vec<_>, _>>().unwrap().len(), 2);
    assert_eq!((source.report().skipped_files.count, source.report().num_documents()), (2, 2));
    assert_eq!(source.report().summary().unwrap(), "2 examples, format messages, JSON lines");
}

#[test]
fn bad_rows_are_errors_with_place_and_remedy() {
    let cases = [
        (ExampleFormat::Preference, json!({"prompt": "q", "chosen": "a"}), "no field `rejected`"),
        (
            ExampleFormat::Preference,
            json!({"prompt": "q", "chosen": "a", "rejected": null}),
            "field `rejected` is null",
        ),
        (ExampleFormat::Preference, json!({"prompt": "q", "chosen": "a", "rejected": ""}), "field `rejected` is empty"),
        (ExampleFormat::Preference, json!({"chosen": "a", "rejected": "a"}), "are the same"),
        (ExampleFormat::Preference, json!({"chosen": "a", "rejected": "ab"}), "is the beginning of the other"),
        (ExampleFormat::Pairs, json!({"anchor": "a", "positive": " "}), "field `positive` is empty"),
        (ExampleFormat::Messages, json!({"messages": [{"content": "a"}]}), "message 1 has no `role`"),
        (ExampleFormat::Messages, json!({"messages": [{"role": "user"}]}), "message 1 has no `content`"),
        (ExampleFormat::Messages, json!({"messages": "hello"}), "is a string, expected a list of messages"),
        (
            ExampleFormat::Messages,
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}),
            "a part of type `image_url`",
        ),
        (
            ExampleFormat::Conversations,
            json!({"conversations": [{"from": "martian", "value": "a"}]}),
            "unknown speaker",
        ),
        (ExampleFormat::PromptCompletion, json!({"prompt": "a", "completion": 4}), "field `completion` is a number"),
        (
            ExampleFormat::PromptCompletion,
            json!({"prompt": "a", "completion": [{"role": "assistant", "content": "b"}]}),
            "expected two of the same type",
        ),
        (ExampleFormat::Labeled, json!({"text": "a", "label": [1]}), "field `label` is a list"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (format, row, expected) in cases {
        let path = folder.path().join("a.jsonl");
        let [good, _] = rows(format);
        fs::write(&path, file(&[good, row.clone()], "jsonl")).unwrap();
        let error = read(&path, format).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("a.jsonl:2: ") && message.contains(expected), "{message}");
        assert!(error.is_bad_row() && error.is_text_error() && error.kind() == "bad-example");
        assert!(error.help().contains("--skip-bad-rows") && error.help().len() > 90, "{}", error.help());
        let skipping = FilesConfig { skip_bad_rows: true, ..FilesConfig::new([path.to_str().unwrap()]) };
        let source = ExampleFiles::open(&skipping, format).unwrap();
        source.check(&|| false, &|_| Ok(())).unwrap();
        assert_eq!(source.examples().unwrap().count(), 1);
        assert_eq!(source.report().bad_rows.count, 1);
    }
}

#[test]
fn fields_are_converted() {
    let convert =
        |format: ExampleFormat, row: Value| (format.entry().unwrap().convert)(row.as_object().unwrap()).unwrap();
    let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    let row =
        json!({"messages": [{"role": "user", "content": parts, "name": "Ann"}], "tools": "[{\"type\": \"function\"}]"});
    let Example::Chat { messages, variables } = convert(ExampleFormat::Messages, row) else { panic!() };
    assert_eq!(messages, [json!({"role": "user", "content": "ab", "name": "Ann"})]);
    assert_eq!(variables.tools, Some(vec![json!({"type": "function"})]));
    let alpaca = json!({"instruction": "Add.", "input": "1, 2", "output": "3"});
    let Example::Chat { messages, .. } = convert(ExampleFormat::Instruction, alpaca) else { panic!() };
    assert_eq!(messages, [chat_message("user", "Add.\n\n1, 2"), chat_message("assistant", "3")]);
    let (prompt, answer) = alpaca_prompt(&messages);
    assert!(prompt.ends_with("\n\n### Instruction:\nAdd.\n\n1, 2\n\n### Response:\n") && answer == "3");
    let row = json!({"chosen": "Q: 2? A: 2", "rejected": "Q: 2? A: 3"});
    let Example::Preference { prompt, chosen, rejected, .. } = convert(ExampleFormat::Preference, row) else {
        panic!()
    };
    let texts = [prompt, chosen, rejected].map(|turns| match turns {
        TextOrMessages::Text(text) => text,
        TextOrMessages::Messages(_) => panic!(),
    });
    assert_eq!(texts, ["Q: 2? A:", " 2", " 3"]);
    let row = json!({"question": "q", "answer": "a", "negative_1": "x", "negative_3": "y"});
    let Example::Pair { anchor, negatives, .. } = convert(ExampleFormat::Pairs, row) else { panic!() };
    assert_eq!((anchor.as_str(), negatives), ("q", vec!["x".to_owned(), "y".to_owned()]));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z\\[{\"]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let key = prop::sample::select(vec!["role", "content", "from", "value", "text", "type", "tool_calls"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    /// Any row is an example or a problem with a help: nothing panics.
    #[test]
    fn any_row_is_read_or_refused(fields in prop::collection::vec((0usize..24, any_json()), 0..6)) {
        let columns: Vec<&str> = FORMATS.iter().flat_map(|entry| entry.columns.iter().copied()).collect();
        let row: Map<String, Value> =
            fields.into_iter().map(|(column, value)| (columns[column % columns.len()].to_owned(), value)).collect();
        let mut sample = FieldSample::default();
        sample.add(&row);
        recognize(&sample, "text");
        for entry in &FORMATS {
            match (entry.convert)(&row) {
                Ok(example) => prop_assert_eq!(example.kind(), entry.kind),
                Err(problem) => prop_assert!(!problem.help.is_empty() && !problem.reason.is_empty()),
            }
        }
    }
}
