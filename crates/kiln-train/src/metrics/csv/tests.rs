use super::*;
use crate::metrics::{StepMetrics, parse};

#[test]
fn a_row_has_a_line_with_the_columns_of_all_rows() {
    let rows = parse(include_bytes!("../../../fixtures/logs/metrics.jsonl")).unwrap();
    let mut encoder = CsvEncoder::default();
    let file = String::from_utf8(encoder.encode_file(&rows)).unwrap();
    let expected = "\
step,seconds,eval/loss,eval/bits_per_byte,eval/accuracy,eval/margin,train/loss,train/learning_rate,train/gradient_norm,\
train/tokens_per_second,train/margin,auxiliary/blocks.0.feed_forward.balance,samples/accepted,eval/floor,eval/accuracy/agreement
0,0.5,6.9,2.5,0.01,-0.25,,,,,,,,,
1,1,,,,,6.875,0.0003,NaN,6144,0.1,0.125,,,
200,3,,,,,0.0000001,0,12345.678,1536,,,,,
200,3.25,,,,,,,,,,,0.88,,
200,3.5,3.1,1.1,0.41,,,,,,,,,1.62,0.9
300000,4,,,,,2,0.000015,1,6144,,,,,
";
    assert_eq!(file, expected);
    assert_eq!(encoder.encode_row(&rows[7]), Some(Vec::new()), "a row without a number");
}

#[test]
fn a_row_with_a_new_column_asks_for_a_new_file() {
    let step = StepMetrics { step: 1, loss: 2.0, seconds: 1.0, ..StepMetrics::default() };
    let known = MetricsRow::Step(step.clone());
    let metrics = [("a,\"b\"".to_string(), Some(3.0))].into();
    let new = MetricsRow::Step(StepMetrics { step: 2, seconds: 2.0, metrics, ..step });
    let mut encoder = CsvEncoder::default();
    encoder.encode_file(std::slice::from_ref(&known));
    assert_eq!(encoder.encode_row(&new), None);
    let file = String::from_utf8(encoder.encode_file(&[known, new])).unwrap();
    let header = "step,seconds,train/loss,train/learning_rate,train/gradient_norm,train/tokens_per_second,\"train/a,\"\"b\"\"\"\n";
    assert_eq!(file, format!("{header}1,1,2,0,0,0,\n2,2,2,0,0,0,3\n"));
}
