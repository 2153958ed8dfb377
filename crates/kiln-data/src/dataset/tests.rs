//! Datasets: recognition, checks, splits, groups and weights in corpora, mixtures, and what is left out.

use super::*;
use crate::{
    Corpus, DiskSpace, FilesConfig, Packer, Sequence, Subset, Tokenizer, TokenizerConfig,
    example::{Example, ExampleSource},
};
use serde_json::json;
use std::{collections::BTreeSet, fs, sync::Arc};
use tempfile::TempDir;

fn byte_tokenizer() -> Tokenizer {
    Tokenizer::train(&TokenizerConfig::Byte(Default::default()), [Ok("")]).unwrap()
}

/// Files in a folder, and their sources.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, rows: impl IntoIterator<Item = serde_json::Value>) -> SourceConfig {
        let text: String = rows.into_iter().map(|row| format!("{row}\n")).collect();
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        SourceConfig::Files(FilesConfig::new([path.to_str().unwrap()]))
    }
}

fn chats(count: usize) -> impl Iterator<Item = serde_json::Value> {
    (0..count).map(|i| {
        let turn = |role: &str, content: String| json!({"role": role, "content": content});
        json!({"messages": [turn("user", format!("Question {i}?")), turn("assistant", format!("Answer {i}."))]})
    })
}

fn preferences(count: usize) -> impl Iterator<Item = serde_json::Value> {
    (0..count)
        .map(|i| json!({"prompt": format!("P{i} "), "chosen": "yes".repeat(1 + i % 3), "rejected": format!("n{i}")}))
}

fn chatml(source: SourceConfig) -> DataConfig {
    DataConfig { source, template: Some(CHATML.into()), validation: 0.2, ..DataConfig::default() }
}

fn build(config: &DataConfig) -> Result<Corpus, DataError> {
    build_in(config, &DiskSpace::in_memory())
}

fn build_in(config: &DataConfig, space: &DiskSpace) -> Result<Corpus, DataError> {
    let dataset = Dataset::open(config, &|| false)?;
    dataset.check(None, &|| false)?;
    dataset.build_corpus(&byte_tokenizer(), None, space, |_, _| ())
}

/// Text of the tokens with a loss weight.
fn trained(tokenizer: &Tokenizer, sequence: &Sequence) -> String {
    let weights = sequence.loss_weights.as_ref().unwrap();
    let ids = sequence.tokens.iter().zip(weights).filter(|(_, weight)| **weight > 0.0).map(|(id, _)| *id);
    tokenizer.decode(&ids.collect::<Vec<_>>()).unwrap()
}

#[test]
fn chats_are_recognized_split_and_packed_whole() {
    let files = Files::new();
    let config = chatml(files.write("chats.jsonl", chats(60)));
    let dataset = Dataset::open(&config, &|| false).unwrap();
    let summary = dataset.summaries().next().unwrap().to_string();
    assert!(summary.ends_with("chats.jsonl: format messages, recognized by the fields `messages`"), "{summary}");
    let corpus = Arc::new(build(&config).unwrap());
    let tokenizer = byte_tokenizer();
    assert_eq!(corpus.kind, ExampleKind::Chat);
    let mut answers = BTreeSet::new();
    for packer in [Packer::training(corpus.clone(), 200, 5).unwrap(), Packer::validation(corpus, 200, None).unwrap()] {
        for packed in packer.iter_epoch(4) {
            for sequence in packed.unwrap().rows.iter().flatten() {
                assert!((sequence.start, sequence.member, sequence.ends_document) == (0, 0, true));
                assert!(answers.insert(trained(&tokenizer, sequence)));
            }
        }
        assert_eq!(packer.num_too_long(), 0);
    }
    let expected: BTreeSet<String> = (0..60).map(|i| format!("Answer {i}.<|im_end|>")).collect();
    assert_eq!(answers, expected);
}

#[test]
fn added_examples_move_none_to_another_subset() {
    let files = Files::new();
    let side = |count: usize| {
        let config = chatml(files.write("chats.jsonl", chats(count)));
        let dataset = Dataset::open(&config, &|| false).unwrap();
        let texts: BTreeSet<String> = dataset.texts(Subset::Validation).unwrap().collect::<Result<_, _>>().unwrap();
        let training = dataset.texts(Subset::Training).unwrap().count();
        assert_eq!(texts.len() + training, count);
        texts
    };
    let (fewer, more) = (side(80), side(160));
    assert!(fewer.is_subset(&more) && fewer.len() > 4 && more.len() < 60);
}

#[test]
fn the_answers_of_a_preference_stay_in_one_row() {
    let files = Files::new();
    let config = chatml(files.write("preferences.jsonl", preferences(50)));
    let corpus = Arc::new(build(&config).unwrap());
    assert_eq!(corpus.training.num_documents(), 2 * corpus.training.num_groups());
    let packer = Packer::training(corpus.clone(), 64, 3).unwrap();
    let mut groups = BTreeSet::new();
    for packed in packer.iter_epoch(3) {
        for row in packed.unwrap().rows {
            assert!(row.iter().map(|sequence| sequence.tokens.len()).sum::<usize>() <= 64);
            for pair in row.chunks(2) {
                assert_eq!([pair[0].member, pair[1].member], [0, 1]);
                assert_eq!(pair[0].group, pair[1].group);
                assert!(trained(&byte_tokenizer(), &pair[0]).starts_with("yes"));
                assert!(trained(&byte_tokenizer(), &pair[1]).starts_with('n'));
                assert!(groups.insert(pair[0].group));
            }
        }
    }
    assert_eq!(groups.len(), corpus.training.num_groups());
}

#[test]
fn examples_in_a_scratch_file_equal_those_in_memory() {
    let files = Files::new();
    let rows = (0..40).map(|i| json!({"prompt": "p".repeat(9000), "completion": "c".repeat(30_000 + i)}));
    let config = chatml(files.write("long.jsonl", rows));
    let folder = tempfile::tempdir().unwrap();
    let [memory, spilled] = [DiskSpace::in_memory(), DiskSpace::with_spill(0, folder.path())]
        .map(|space| build_in(&config, &space).unwrap());
    assert_eq!(memory.training.fingerprint(), spilled.training.fingerprint());
    for document in 0..memory.training.num_documents() {
        let [a, b] = [&memory, &spilled].map(|corpus| {
            (corpus.training.document_tokens(document).unwrap(), corpus.training.loss_weights(document).unwrap())
        });
        assert_eq!(a, b);
        let weights = a.1.unwrap();
        assert_eq!((weights[9000], weights[9001], weights.len()), (0.0, 1.0, a.0.len()));
    }
}

/// The same tokens with other trained parts have another fingerprint.
#[test]
fn the_fingerprint_covers_what_is_trained() {
    let files = Files::new();
    let fingerprint = |prompt: &str, completion: &str| {
        let rows = (0..30).map(|i| json!({"prompt": format!("{i}{prompt}"), "completion": completion}));
        let config = chatml(files.write("rows.jsonl", rows));
        let dataset = Dataset::open(&config, &|| false).unwrap();
        let space = DiskSpace::in_memory();
        let corpus = dataset.build_unsplit(Subset::Training, &byte_tokenizer(), None, &space, |_, _| ()).unwrap();
        (corpus.training.document_tokens(0).unwrap(), corpus.training.fingerprint().to_owned())
    };
    let (first, second) = (fingerprint("ab", "cd"), fingerprint("abc", "d"));
    assert_eq!(first.0, second.0);
    assert_ne!(first.1, second.1);
    assert_eq!(first, fingerprint("ab", "cd"));
}

fn mixture(files: &Files, weights: [f64; 2]) -> DataConfig {
    let sources = [
        files.write("a.jsonl", chats(40)),
        files.write(
            "b.jsonl",
            preferences(4)
                .map(|row| json!({"instruction": row["prompt"], "output": row["chosen"]}))
                .chain((0..20).map(|i| json!({"instruction": format!("Do {i}"), "output": "Done."}))),
        ),
    ];
    let sources = sources.into_iter().zip(weights);
    let sources = sources
        .map(|(source, weight)| MixtureSource { source, weight, format: ExampleFormat::Auto, template: None })
        .collect();
    DataConfig { sources, template: Some(CHATML.into()), validation: 0.2, ..DataConfig::default() }
}

#[test]
fn a_mixture_keeps_its_weights_and_resumes_at_any_step() {
    let files = Files::new();
    let corpus = Arc::new(build(&mixture(&files, [1.0, 3.0])).unwrap());
    let parts = corpus.training.parts();
    assert_eq!([parts[0].weight, parts[1].weight], [1.0, 3.0]);
    let packer = Packer::training(corpus.clone(), 160, 9).unwrap();
    let source_of = |row: &Vec<Sequence>| {
        let sources: BTreeSet<usize> =
            row.iter().map(|sequence| usize::from(parts[1].documents.contains(&sequence.document))).collect();
        assert_eq!(sources.len(), 1, "a row holds documents of one source");
        sources.into_iter().next().unwrap()
    };
    let steps: Vec<_> = (0..40).map(|step| packer.rows_at_step(step, 5).unwrap()).collect();
    let from_second = steps.iter().flat_map(|packed| &packed.rows).map(source_of).sum::<usize>();
    assert_eq!(from_second, 150);
    let resumed = Packer::training(corpus.clone(), 160, 9).unwrap();
    for step in [39, 17, 23, 0] {
        assert_eq!(resumed.rows_at_step(step, 5).unwrap(), steps[step as usize]);
    }
    assert_ne!(Packer::training(corpus, 160, 10).unwrap().rows_at_step(0, 5).unwrap(), steps[0]);
}

/// A source that is mixed by its number of rows is read once in an epoch.
#[test]
fn an_epoch_of_a_mixture_has_the_rows_of_all_sources() {
    let files = Files::new();
    let corpus = Arc::new(build(&mixture(&files, [1.0, 1.0])).unwrap());
    let packer = Packer::training(corpus.clone(), 160, 9).unwrap();
    let rows: usize = packer.iter_epoch(7).map(|packed| packed.unwrap().rows.len()).sum();
    assert_eq!(rows, packer.num_rows());
    let validation = Packer::validation(corpus.clone(), 160, None).unwrap();
    let documents: Vec<usize> =
        validation.iter_epoch(2).flat_map(|packed| packed.unwrap().rows).flatten().map(|s| s.document).collect();
    let all: BTreeSet<usize> = documents.iter().copied().collect();
    assert_eq!((all.len(), documents.len()), (corpus.validation.num_documents(), corpus.validation.num_documents()));
}

#[test]
fn weights_of_zero_and_double_sources_are_errors() {
    let files = Files::new();
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = build(&mixture(&files, [1.0, weight])).unwrap_err();
        assert_eq!((error.kind(), error.location().as_deref()), ("config", Some("data.sources.weight")));
        assert!(error.help().contains("a number above 0"));
    }
    let both = DataConfig { source: files.write("c.jsonl", chats(2)), ..mixture(&files, [1.0, 1.0]) };
    assert_eq!(build(&both).unwrap_err().location().as_deref(), Some("data.source"));
}

#[test]
fn a_validation_source_is_not_split() {
    let files = Files::new();
    let validation_source = Some(files.write("held-out.jsonl", chats(7)));
    let config = DataConfig { validation_source, ..chatml(files.write("chats.jsonl", chats(30))) };
    let corpus = build(&config).unwrap();
    assert_eq!((corpus.training.num_documents(), corpus.validation.num_documents()), (30, 7));
    let other = Some(files.write("pairs.jsonl", [json!({"anchor": "a", "positive": "b"})]));
    let error = build(&DataConfig { validation_source: other, ..config }).unwrap_err();
    assert_eq!(error.kind(), "mixed-formats");
}

#[test]
fn what_cannot_be_trained_is_counted_or_an_error() {
    let files = Files::new();
    let silent = json!({"messages": [{"role": "user", "content": "Anyone?"}]});
    let config = chatml(files.write("chats.jsonl", chats(20).chain([silent.clone()])));
    let corpus = build(&config).unwrap();
    assert_eq!(corpus.without_answer.count, 1);
    assert!(corpus.without_answer.examples[0].contains("chats.jsonl:21: nothing to train on"));
    let nothing = build(&chatml(files.write("chats.jsonl", [silent.clone(), silent]))).unwrap_err();
    assert!(matches!(nothing, DataError::TooFewExamples { .. }), "{nothing}");
    let silent = |i: usize| json!({"messages": [{"role": "user", "content": format!("Anyone? {i}")}]});
    let nothing = build(&chatml(files.write("chats.jsonl", (0..5).map(silent)))).unwrap_err();
    assert_eq!(nothing.kind(), "no-examples");
    assert!(nothing.to_string().contains("chats.jsonl:1: nothing to train on"), "{nothing}");
    assert!(nothing.is_text_error());
}

#[test]
fn examples_that_are_longer_than_a_row_are_left_out() {
    let files = Files::new();
    let long = (0..3).map(|i| json!({"prompt": format!("{i}"), "completion": "c".repeat(100)}));
    let short = (0..30).map(|i| json!({"prompt": format!("{i}"), "completion": "c"}));
    let corpus = Arc::new(build(&chatml(files.write("rows.jsonl", short.chain(long)))).unwrap());
    let left_out: usize = [Packer::training(corpus.clone(), 50, 1), Packer::validation(corpus.clone(), 50, None)]
        .map(|packer| packer.unwrap().num_too_long())
        .iter()
        .sum();
    assert_eq!(left_out, 3);
    let error = Packer::training(corpus, 3, 1).unwrap_err();
    assert_eq!(error.kind(), "no-examples");
    assert!(error.to_string().contains("longer than a row of 3 tokens; the shortest has 4"), "{error}");
}

#[test]
fn roles_that_the_template_refuses_are_found_by_the_check() {
    let files = Files::new();
    let template = files.0.path().join("strict.jinja");
    let source = "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}\
        {{ raise_exception('unknown role ' + m.role) }}{% endif %}{{ '<' + m.role + '>' + m.content }}{% endfor %}\
        {% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}";
    fs::write(&template, source).unwrap();
    let strange = json!({"messages": [{"role": "narrator", "content": "x"}, {"role": "assistant", "content": "y"}]});
    let source = files.write("chats.jsonl", chats(3).chain([strange]));
    let config = DataConfig { template: template.to_str().map(str::to_owned), ..chatml(source) };
    let error = Dataset::open(&config, &|| false).unwrap().check(None, &|| false).unwrap_err();
    assert!(error.to_string().contains("chats.jsonl:4: chat template: line 1: unknown role narrator"), "{error}");
    let missing = DataConfig { template: Some("missing.jinja".into()), ..config.clone() };
    assert_eq!(Dataset::open(&missing, &|| false).err().unwrap().kind(), "missing");
    let none = DataConfig { template: None, ..config };
    let error = Dataset::open(&none, &|| false).unwrap().check(None, &|| false).unwrap_err();
    assert_eq!(error.kind(), "no-chat-template");
}

#[test]
fn text_is_built_as_before() {
    let files = Files::new();
    let source = files.write("texts.jsonl", (0..40).map(|i| json!({"text": format!("Text number {i}.")})));
    let config = DataConfig { source: source.clone(), validation: 0.2, ..DataConfig::default() };
    let corpus = build(&config).unwrap();
    let opened = source.open().unwrap();
    let split = crate::ValidationSplit::new(&*opened, 0.2).unwrap();
    let space = DiskSpace::in_memory();
    let before = Corpus::build(&*opened, &split, &byte_tokenizer(), &space, |_, _| ()).unwrap();
    assert_eq!(corpus.training.fingerprint(), before.training.fingerprint());
    assert_eq!(corpus.kind, ExampleKind::Text);
    let labeled =
        files.write("labeled.jsonl", (0..40).map(|i| json!({"text": format!("Text number {i}."), "label": i})));
    let config = DataConfig { source: labeled, validation: 0.2, ..DataConfig::default() };
    let mut dataset = Dataset::open(&config, &|| false).unwrap();
    assert_eq!(dataset.summaries().next().unwrap().format, ExampleFormat::Labeled);
    let labeled = dataset.build_corpus(&byte_tokenizer(), None, &space, |_, _| ()).unwrap();
    assert_eq!(labeled.training.fingerprint(), before.training.fingerprint());
    dataset.read_labeled_as_text(&config, None, &|| false).unwrap();
    let text = dataset.build_corpus(&byte_tokenizer(), None, &space, |_, _| ()).unwrap();
    assert_eq!(text.training.fingerprint(), before.training.fingerprint());
}

#[test]
fn an_inspection_shows_lengths_and_what_is_trained() {
    let files = Files::new();
    let config = chatml(files.write("chats.jsonl", chats(12)));
    let dataset = Dataset::open(&config, &|| false).unwrap();
    let tokenizer = byte_tokenizer();
    let corpus = dataset.build_unsplit(Subset::Training, &tokenizer, None, &DiskSpace::in_memory(), |_, _| ()).unwrap();
    let found = Inspection::new(&corpus, &tokenizer).unwrap();
    assert_eq!((found.num_groups, found.samples.len(), found.lengths.len()), (12, 5, 12));
    assert_eq!(found.num_trained_tokens, (0..12).map(|i| format!("Answer {i}.<|im_end|>").len() as u64).sum::<u64>());
    assert_eq!(found.histogram().iter().map(|bin| bin.count).sum::<usize>(), 12);
    assert_eq!(found.num_longer_than(found.length_quantile(1.0) as usize - 1), 2);
    let pieces = &found.samples[0].sequences[0].pieces;
    let trained: Vec<&str> = pieces.iter().filter(|piece| piece.1).map(|piece| piece.0.as_str()).collect();
    assert_eq!(trained, ["Answer 0.<|im_end|>"]);
}

#[test]
fn reading_stops_at_the_signal() {
    let source: Vec<Example> = (0..3).map(|i| Example::Text(format!("{i}"))).collect();
    let stopped = StoppableExamples::new(Box::new(source), &|| true);
    let examples: Vec<_> = stopped.examples().unwrap().collect();
    assert_eq!((examples.len(), examples[0].as_ref().unwrap_err().kind()), (1, "stopped"));
}
