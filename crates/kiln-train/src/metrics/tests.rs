use serde_json::Value;

use super::*;

/// One line of each kind, as other programs see it.
const LINES: &str = r#"{"kind":"step","step":1,"tokens":3072,"loss":6.9,"learning_rate":0.0003,"gradient_norm":1.2,"seconds":0.21,"losses":{"balance":0.01}}
{"kind":"step","step":2,"tokens":6144,"loss":6.8,"learning_rate":0.0006,"gradient_norm":1.1,"seconds":0.42}
{"kind":"validation","step":50,"tokens":153600,"loss":3.1,"floor":1.62,"bits_per_byte":1.1,"accuracy":0.41,"evaluated_tokens":20480,"evaluated_bytes":90000,"kinds":{"agreement":{"right":9,"total":10},"local":{"right":10,"total":12}},"seconds":12.0}
{"kind":"validation","step":50,"tokens":153600,"loss":3.1,"floor":null,"bits_per_byte":1.1,"accuracy":0.41,"evaluated_tokens":20480,"evaluated_bytes":90000,"kinds":null,"seconds":12.0}
{"kind":"samples","step":50,"samples":[{"prompt":"","text":"A “fox”.\n","sentences":9,"well_formed":8,"consistent":6,"complete":true,"marks":[{"start":0,"end":10,"ok":false}]},{"prompt":"One","text":" two"}],"accepted":0.88,"seconds":13.0}
{"kind":"compression","step":720,"bytes":123456,"model_bits_per_byte":1.3,"gzip":2.1,"xz":1.8,"zstd":1.85}
{"kind":"event","step":400,"event":"not_finite","detail":"loss","seconds":80.5}
"#;

#[test]
fn every_kind_of_row_is_read_and_written() {
    let rows = parse(LINES.as_bytes()).unwrap();
    assert_eq!(rows.len(), 7);
    for (row, line) in rows.iter().zip(LINES.lines()) {
        let again: Value = serde_json::from_str(&row.to_json_line()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(line).unwrap());
    }
    assert_eq!(rows.iter().map(MetricsRow::step).collect::<Vec<_>>(), [1, 2, 50, 50, 50, 720, 400]);
    let MetricsRow::Samples(samples) = &rows[4] else { panic!("{:?}", rows[4]) };
    assert_eq!(samples.samples[0].grammar.unwrap().well_formed, 8);
    assert_eq!((samples.samples[1].grammar, samples.samples[1].spans.len()), (None, 0));
}

#[test]
fn absent_and_unknown_keys_are_no_error() {
    let line = br#"{"kind":"validation","step":5,"tokens":1,"loss":3.1,"bits_per_byte":1.1,"accuracy":0.4,"evaluated_tokens":2,"evaluated_bytes":9,"seconds":1,"later":[1]}"#;
    let MetricsRow::Validation(row) = &parse(line).unwrap()[0] else { panic!() };
    assert_eq!((row.reference_loss, &row.by_dependency), (None, &None));
}

#[test]
fn a_number_that_is_not_finite_is_read_as_nan() {
    let row = MetricsRow::Step(StepMetrics { loss: f64::NAN, gradient_norm: f64::INFINITY, ..StepMetrics::default() });
    let MetricsRow::Step(again) = &parse(row.to_json_line().as_bytes()).unwrap()[0] else { panic!() };
    assert!(again.loss.is_nan() && again.gradient_norm.is_nan());
}

#[test]
fn an_incomplete_last_line_is_skipped() {
    let whole = LINES.trim_end();
    let start = whole.rfind('\n').unwrap() + 1;
    for cut in start..whole.len() {
        assert_eq!(parse(&whole.as_bytes()[..cut]).unwrap().len(), 6, "cut at {cut}");
    }
    assert_eq!(parse(whole.as_bytes()).unwrap().len(), 7);
    let samples = LINES.find('“').unwrap() + 1;
    assert_eq!(parse(&LINES.as_bytes()[..samples]).unwrap().len(), 4, "cut within a letter");
}

#[test]
fn an_invalid_line_is_an_error_with_its_number() {
    let with = |wrong: &str| {
        let text = LINES.lines().enumerate().map(|(i, line)| if i == 2 { wrong } else { line });
        parse(text.map(|line| format!("{line}\n")).collect::<String>().as_bytes())
    };
    for (wrong, found) in [
        ("{\"kind\":\"step\",\"st", "EOF while parsing a string"),
        ("{\"kind\":\"stop\",\"step\":1}", "unknown variant `stop`"),
        ("{\"kind\":\"event\",\"step\":1}", "missing field `event`"),
        ("\0\0\0", "expected value"),
    ] {
        let error = with(wrong).unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.found.starts_with(found), "{error}");
        assert!(!error.found.contains("at line"), "{error}");
    }
    assert_eq!(with("").unwrap().len(), 6);
}
