use super::*;
use crate::metrics::parse;

/// Written by `tools/fixtures_logs.py` with TensorBoard's own classes.
const ROWS: &[u8] = include_bytes!("../../../fixtures/logs/metrics.jsonl");
const EXPECTED: &[u8] = include_bytes!("../../../fixtures/logs/expected.tfevents");

#[test]
fn the_file_has_the_bytes_that_tensorboard_writes() {
    let rows = parse(ROWS).unwrap();
    let mut encoder = EventEncoder::continuing(EXPECTED, 0.0);
    assert_eq!(encoder.encode_file(&rows), EXPECTED);
    let mut appended = encoder.encode_file(&rows[..3]);
    rows[3..].iter().for_each(|row| appended.extend(encoder.encode_row(row).unwrap()));
    assert_eq!(appended, EXPECTED, "row by row");
}

#[test]
fn the_start_time_is_that_of_an_intact_first_record() {
    assert_eq!(read_start_time(EXPECTED), Some(1_700_000_000.25));
    for length in 0..40 {
        assert_eq!(read_start_time(&EXPECTED[..length]), None, "cut at {length}");
    }
    for position in 0..40 {
        let mut damaged = EXPECTED.to_vec();
        damaged[position] ^= 1;
        assert_eq!(read_start_time(&damaged), None, "damaged at {position}");
    }
    assert_eq!(EventEncoder::continuing(b"", 5.0).start_time, 5.0);
}
