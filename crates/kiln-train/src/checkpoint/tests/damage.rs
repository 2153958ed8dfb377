//! Damaged checkpoints.
use std::fs;
use std::path::Path;

use super::super::*;
use super::{sample, saved};
use crate::run_folder_error::RunFolderError;

fn harmed(name: &str, harm: impl Fn(&Path)) -> RunFolderError {
    let (_home, checkpoints) = saved(&[100, 200]);
    let file = checkpoints.folder(200).join(name);
    harm(&file);
    let error = checkpoints.load(200).unwrap_err();
    assert_eq!((error.kind(), error.location()), ("damaged", file.as_path()), "{error}");
    let help = error.help().unwrap();
    assert!(help.contains("from step 100") && help.contains("step-000200.damaged"), "{help}");
    error
}

#[test]
fn a_missing_or_changed_file_is_named() {
    for name in [MODEL_FILE, TRAIN_FILE, STATE_FILE] {
        let error = harmed(name, |file| fs::remove_file(file).unwrap());
        assert!(error.to_string().ends_with("expected a file, found nothing"), "{error}");
        harmed(name, |file| fs::write(file, b"").unwrap());
        harmed(name, |file| assert!(fs::copy(file.with_file_name("../step-000100").join(name), file).unwrap() > 0));
        for change in [-1, -5, 1, 4096] {
            let error = harmed(name, |file| {
                let length = fs::metadata(file).unwrap().len();
                fs::File::options()
                    .write(true)
                    .open(file)
                    .unwrap()
                    .set_len(length.saturating_add_signed(change))
                    .unwrap();
            });
            assert!(name == STATE_FILE || error.to_string().contains(" bytes, found "), "{error}");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let (_home, checkpoints) = saved(&[100, 200]);
    for (name, stride) in [(STATE_FILE, 1), (MODEL_FILE, 7), (TRAIN_FILE, 11)] {
        let file = checkpoints.folder(200).join(name);
        let whole = fs::read(&file).unwrap();
        for at in (0..whole.len()).step_by(stride) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&file, flipped).unwrap();
            let error = checkpoints.load(200).expect_err(&format!("{name}, byte {at}"));
            assert_eq!((error.kind(), error.location()), ("damaged", file.as_path()), "{error}");
        }
        fs::write(&file, whole).unwrap();
    }
    assert_eq!(checkpoints.load(200).unwrap(), sample(200, None, 50));
}

#[test]
fn a_renamed_folder_and_a_later_format_are_refused() {
    let (_home, checkpoints) = saved(&[100]);
    fs::rename(checkpoints.folder(100), checkpoints.folder(300)).unwrap();
    let error = checkpoints.load(300).unwrap_err();
    assert!(error.to_string().contains("expected the state of step 300, found that of step 100"), "{error}");
    fs::write(checkpoints.folder(300).join(STATE_FILE), r#"{ "version": 2, "stage": {} }"#).unwrap();
    let error = checkpoints.load(300).unwrap_err();
    assert!(error.to_string().contains("expected format version 1, found version 2"), "{error}");
}
