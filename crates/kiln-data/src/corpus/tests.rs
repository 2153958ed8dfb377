//! Properties of a corpus for all sources and both kinds of token storage.

use super::*;
use crate::TokenizerConfig;
use kiln_spec::{Random, config::NoOptions};
use proptest::prelude::*;

/// As in `split.rs`.
const MAX_PASSAGE_BYTES: usize = 2048;

/// Documents of random words, all different.
fn texts(documents: usize, longest: usize, seed: u64) -> Vec<String> {
    let text = |i: usize| {
        let mut random = Random::new(seed, "text", 0, i as u64);
        let words = 1 + random.uniform_int(longest);
        (0..words).map(|_| format!("w{} ", random.uniform_int(5000))).collect::<String>() + &format!("end {i}\n")
    };
    (0..documents).map(text).collect()
}

fn bytes() -> Tokenizer {
    Tokenizer::train(&TokenizerConfig::Byte(NoOptions {}), [Ok("")]).unwrap()
}

fn build(source: &Vec<String>, share: f64) -> Corpus {
    Corpus::build(source, &ValidationSplit::new(source, share).unwrap(), &bytes(), &DiskSpace::in_memory(), |_, _| ())
        .unwrap()
}

fn validation_texts(source: &Vec<String>, share: f64) -> Vec<String> {
    let split = ValidationSplit::new(source, share).unwrap();
    split.texts(source, Subset::Validation).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn each_document_is_stored_between_bos_and_eos() {
    let (source, tokenizer) = (texts(150, 30, 1), bytes());
    let corpus = build(&source, 0.2);
    let mut back = Vec::new();
    for side in [Subset::Training, Subset::Validation] {
        let texts = corpus.subset(side);
        for i in 0..texts.num_documents() {
            let ids = texts.document_tokens(i).unwrap();
            assert_eq!(ids.len(), texts.document_lengths()[i] as usize);
            assert_eq!([ids[0], ids[ids.len() - 1]], [tokenizer.special_tokens().bos, tokenizer.special_tokens().eos]);
            assert_eq!(texts.read_tokens(i, 1..4).unwrap(), ids[1..4]);
            back.push(tokenizer.decode(&ids).unwrap());
        }
        let total: u64 = texts.document_lengths().iter().map(|n| u64::from(*n)).sum();
        assert_eq!((texts.num_tokens(), texts.num_bytes()), (total, total - 2 * texts.num_documents() as u64));
    }
    let mut whole = source;
    whole.sort();
    back.sort();
    assert_eq!(back, whole);
}

#[test]
fn the_validation_texts_of_the_split_are_the_validation_documents() {
    for source in [texts(60, 20, 2), texts(3, 4000, 3)] {
        let (corpus, tokenizer) = (build(&source, 0.2), bytes());
        let texts = &corpus.validation;
        let tokens: String =
            (0..texts.num_documents()).map(|i| tokenizer.decode(&texts.document_tokens(i).unwrap()).unwrap()).collect();
        assert_eq!(tokens, validation_texts(&source, 0.2).concat());
        assert_eq!(tokens.len() as u64, texts.num_bytes());
    }
}

#[test]
fn added_documents_move_no_document_to_another_subset() {
    let all = texts(200, 20, 4);
    let before = validation_texts(&all[..120].to_vec(), 0.1);
    let after = validation_texts(&all, 0.1);
    assert!(before.iter().all(|text| after.contains(text)));
    assert!(after.iter().filter(|text| all[..120].contains(text)).count() == before.len());
    let share = after.len() as f64 / 200.0;
    assert!((0.04..0.2).contains(&share), "{share}");
}

#[test]
fn few_documents_are_split_by_passages_and_no_subset_is_empty() {
    let source = texts(2, 3000, 5);
    let corpus = build(&source, 0.1);
    assert!(corpus.validation.num_bytes() > 0);
    assert!(corpus.training.num_bytes() > corpus.validation.num_bytes());
    assert_eq!(corpus.training.num_bytes() + corpus.validation.num_bytes(), source.concat().len() as u64);
    // Consecutive passages of one subset are one document.
    assert!(corpus.training.num_documents() < source.concat().len() / MAX_PASSAGE_BYTES / 2);
}

/// Documents that come in parts, each of a few lines.
struct DocumentsInParts(Vec<String>);

impl Source for DocumentsInParts {
    fn documents(&self) -> Result<crate::source::Documents<'_>, DataError> {
        let parts = self.0.iter().flat_map(|text| text.split_inclusive(' ').enumerate());
        Ok(Box::new(
            parts.map(|(i, part)| {
                Ok(crate::Document { text: part.into(), origin: String::new(), is_continuation: i > 0 })
            }),
        ))
    }

    fn describe(&self) -> String {
        "texts in parts".into()
    }
}

#[test]
fn all_parts_of_a_document_are_in_the_subset_of_the_first() {
    let whole = texts(100, 20, 11);
    let (source, tokenizer) = (DocumentsInParts(whole.clone()), bytes());
    let split = ValidationSplit::new(&source, 0.3).unwrap();
    let corpus = Corpus::build(&source, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ()).unwrap();
    assert!(corpus.validation.num_documents() > 10);
    for texts in [&corpus.training, &corpus.validation] {
        for i in 0..texts.num_documents() {
            assert!(whole.contains(&tokenizer.decode(&texts.document_tokens(i).unwrap()).unwrap()));
        }
    }
}

#[test]
fn too_little_text_is_an_error() {
    let split_error = |source: &[&str]| {
        let source: Vec<String> = source.iter().map(|text| (*text).into()).collect();
        ValidationSplit::new(&source, 0.1).unwrap_err()
    };
    assert_eq!(split_error(&[]).kind(), "empty");
    assert_eq!(split_error(&[""]).kind(), "empty");
    assert_eq!(split_error(&["a short text"]), DataError::TooShort { origin: "1 texts".into(), bytes: 12 });
    assert_eq!(split_error(&["the same"; 50]).kind(), "too-short");
    assert_eq!(ValidationSplit::new(&texts(50, 9, 1), 1.0).unwrap_err().kind(), "config");
    assert_eq!(ValidationSplit::new(&texts(50, 9, 1), f64::NAN).unwrap_err().kind(), "config");
}

#[test]
fn a_training_sample_is_spread_over_the_training_text() {
    let source = texts(2000, 30, 10);
    let split = ValidationSplit::new(&source, 0.3).unwrap();
    let size = source.concat().len() as u64;
    let sample = |bytes| split.training_sample(&source, bytes).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let training: Vec<String> = split.texts(&source, Subset::Training).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(sample(size), training);
    let fifth = sample(size / 5);
    assert!((training.len() / 7..training.len() / 4).contains(&fifth.len()), "{}", fifth.len());
    assert!(fifth.iter().all(|text| training.contains(text)));
    let late = fifth.iter().filter(|text| training[training.len() / 2..].contains(text)).count();
    assert!((fifth.len() / 3..fifth.len() * 2 / 3).contains(&late), "{late}");
}

#[test]
fn an_unsplit_source_is_one_subset() {
    let source = texts(5, 20, 6);
    let corpus = Corpus::build(
        &source,
        &ValidationSplit::unsplit(Subset::Validation),
        &bytes(),
        &DiskSpace::in_memory(),
        |_, _| (),
    )
    .unwrap();
    assert_eq!((corpus.training.num_documents(), corpus.validation.num_documents()), (0, 5));
}

#[test]
fn fingerprints_change_with_the_training_text_only() {
    let mut source = texts(60, 20, 7);
    let (first, held) = (build(&source, 0.2), validation_texts(&source, 0.2));
    let training = source.iter().position(|text| !held.contains(text)).unwrap();
    assert_eq!(build(&source, 0.2).training.fingerprint(), first.training.fingerprint());
    source.swap(training, training + 1);
    source.push("one more text".into());
    let second = build(&source, 0.2);
    assert_ne!(second.training.fingerprint(), first.training.fingerprint());
}

#[test]
fn progress_grows_to_the_size_of_the_text() {
    let source = texts(800, 2000, 8);
    let mut reports = Vec::new();
    let split = ValidationSplit::new(&source, 0.1).unwrap();
    Corpus::build(&source, &split, &bytes(), &DiskSpace::in_memory(), |done, all| reports.push((done, all))).unwrap();
    let size = source.concat().len() as u64;
    assert!(reports.is_sorted() && reports.len() as u64 > size >> 20, "{reports:?}");
    assert_eq!(reports.last(), Some(&(size, Some(size))));
}

#[cfg(feature = "files")]
#[test]
fn tokens_in_a_scratch_file_equal_those_in_memory() {
    let source = texts(400, 2000, 9);
    let folder = tempfile::tempdir().unwrap();
    let split = ValidationSplit::new(&source, 0.3).unwrap();
    let built = |space: DiskSpace| Corpus::build(&source, &split, &bytes(), &space, |_, _| ()).unwrap();
    let memory = built(DiskSpace::in_memory());
    for budget in [0, 1 << 20, 3 << 20] {
        let spilled = built(DiskSpace::with_spill(budget, folder.path()));
        assert_eq!(spilled.training.fingerprint(), memory.training.fingerprint());
        for i in 0..memory.training.num_documents() {
            assert_eq!(spilled.training.document_tokens(i).unwrap(), memory.training.document_tokens(i).unwrap());
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let nowhere = DiskSpace::with_spill(0, folder.path().join("nowhere"));
    assert_eq!(Corpus::build(&source, &split, &bytes(), &nowhere, |_, _| ()).unwrap_err().kind(), "io");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_byte_is_in_exactly_one_subset(documents in 1usize..60, longest in 1usize..600, share in 0.01f64..0.99, seed: u64) {
        let source = texts(documents, longest, seed);
        if let Ok(split) = ValidationSplit::new(&source, share) {
            let side = |side| split.texts(&source, side).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
            let (training, validation) = (side(Subset::Training), side(Subset::Validation));
            prop_assert!(!training.is_empty() && !validation.is_empty());
            prop_assert_eq!(training.concat().len() + validation.concat().len(), source.concat().len());
        } else {
            prop_assert!(source.concat().len() <= 2 * MAX_PASSAGE_BYTES);
        }
    }
}
