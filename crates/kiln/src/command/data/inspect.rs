//! `kiln data inspect PATH…`: format, counts, lengths in tokens, five examples with what is trained, and what is left out.
//!
//! ```console
//! kiln data inspect chats.jsonl --model models/smollm2
//! kiln data inspect preferences.parquet --model models/smollm2 --sequence-length 512
//! ```
//!
//! With `--model`, the tokenizer and the chat template of the model are used; no weights are read. Without it, a token is a byte,
//! and the template is ChatML. Rows that are not valid are left out and shown.
//!
//! JSON: `{"format","kind","tokenizer","examples","sequences","tokens","trained_tokens","lengths":{"min","median","mean","p95",
//! "max"},"histogram":[{"from","to","count"}],"left_out":{"bad_rows","without_answer","too_long"},"samples":[{"source",
//! "sequences":[{"tokens","pieces":[{"text","trained"}]}]}]}`.

use super::{
    super::{
        error::CliError,
        interrupt,
        model_args::model_source,
        output::{CommandOutput, print_message},
        progress::ProgressReporter,
    },
    inspect_text,
};
use kiln_data::{
    ChatTemplate, DataConfig, Dataset, FilesConfig, SourceConfig, Subset, Tokenizer, TokenizerConfig,
    config::DEFAULT_TEXT_FIELD,
    dataset::{CHATML, Inspection, SampleSequence},
    example::ExampleFormat,
    source::report::Omissions,
};
use kiln_spec::config::NoOptions;
use kiln_train::{
    TrainError,
    run::{self, ProgressEvent, ProgressListener},
};
use serde_json::{Value, json};
use std::{path::PathBuf, sync::atomic::Ordering};

/// Arguments of `kiln data inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Data: text, JSON lines, JSON, CSV, TSV or Parquet files (each but Parquet may be compressed), or folders of them.
    #[arg(required = true, value_name = "PATH")]
    data: Vec<String>,
    /// Model whose tokenizer and chat template are used: run folder, Hugging Face folder or id, or .gguf file. Default: one
    /// token a byte.
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Format of the rows: messages, conversations, prompt_completion, instruction, preference, labeled, pairs or text. Default:
    /// recognized by the fields.
    #[arg(long, value_name = "FORMAT", value_parser = parse_format, default_value = "auto")]
    format: ExampleFormat,
    /// Chat template: the path of a Jinja file, or chatml. Default: the template of the model.
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
    /// Field or column that holds plain text.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TEXT_FIELD)]
    field: String,
    /// Length of a training row in tokens: counts the examples that would be left out.
    #[arg(long, value_name = "N")]
    sequence_length: Option<usize>,
}

/// A format by its name in a recipe.
fn parse_format(name: &str) -> Result<ExampleFormat, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

/// What was found.
pub(super) struct Findings {
    /// Format and fields, one line a source.
    pub summaries: Vec<String>,
    pub format: ExampleFormat,
    pub tokenizer: String,
    pub inspection: Inspection,
    pub bad_rows: Omissions,
    pub without_answer: Omissions,
    /// Length of a row, and the number of examples that are longer.
    pub too_long: Option<(usize, usize)>,
    /// Messages about files and documents.
    pub summary: Option<String>,
}

/// Inspects the data.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let findings = args.inspect()?;
    Ok(CommandOutput::new(findings.to_json(), inspect_text::render(&findings)))
}

impl Args {
    fn inspect(&self) -> Result<Findings, CliError> {
        let stop_flag = interrupt::listen_for_reading()?;
        let stop = || stop_flag.load(Ordering::Relaxed);
        let (tokenizer, model_template, name) = self.tokenizer()?;
        let dataset = Dataset::open(&self.data_config(), &stop)?;
        let summaries: Vec<String> = dataset.summaries().map(ToString::to_string).collect();
        summaries.iter().for_each(|summary| print_message(summary));
        let format = dataset.summaries().next().map_or(self.format, |summary| summary.format);
        let mut progress = ProgressReporter::new(false);
        let storage = run::token_storage(&std::env::temp_dir());
        let corpus =
            dataset.build_unsplit(Subset::Training, &tokenizer, model_template.as_ref(), &storage, |done, total| {
                progress.on_event(ProgressEvent::ReadingText(done, total));
            });
        progress.finish();
        let corpus = corpus?;
        let inspection = Inspection::new(&corpus, &tokenizer)?;
        let report = dataset.report();
        let is_cut = !inspection.kind.is_whole();
        let too_long = self.sequence_length.filter(|_| !is_cut).map(|n| (n, inspection.num_longer_than(n)));
        Ok(Findings {
            summaries,
            format,
            tokenizer: name,
            inspection,
            summary: report.summary(),
            bad_rows: report.bad_rows,
            without_answer: corpus.without_answer,
            too_long,
        })
    }

    /// The tokenizer, the template of the model, and what a token is.
    fn tokenizer(&self) -> Result<(Tokenizer, Option<ChatTemplate>, String), CliError> {
        match &self.model {
            Some(model) => {
                let source = model_source(model)?;
                let name = format!("tokens of {}", model.display());
                Ok((source.tokenizer()?, source.chat_template()?, name))
            }
            None => {
                let byte = TokenizerConfig::Byte(NoOptions {});
                let tokenizer =
                    Tokenizer::train(&byte, std::iter::empty::<Result<&str, _>>()).map_err(TrainError::from)?;
                Ok((tokenizer, None, "bytes (no --model)".into()))
            }
        }
    }

    fn data_config(&self) -> DataConfig {
        let files =
            FilesConfig { field: self.field.clone(), skip_bad_rows: true, ..FilesConfig::new(self.data.clone()) };
        let default_template = self.model.is_none().then(|| CHATML.to_owned());
        let template = self.template.clone().or(default_template);
        DataConfig { source: SourceConfig::Files(files), format: self.format, template, ..DataConfig::default() }
    }
}

impl Findings {
    fn to_json(&self) -> Value {
        let found = &self.inspection;
        let mean = found.num_tokens as f64 / found.num_groups.max(1) as f64;
        let bin = |bin: kiln_data::dataset::LengthBin| json!({ "from": bin.from, "to": bin.to, "count": bin.count });
        let sequence = |sequence: &SampleSequence| {
            let pieces = sequence.pieces.iter().map(|(text, trained)| json!({ "text": text, "trained": trained }));
            json!({ "tokens": sequence.num_tokens, "pieces": pieces.collect::<Vec<_>>() })
        };
        let samples = found.samples.iter().map(|sample| {
            let sequences: Vec<Value> = sample.sequences.iter().map(sequence).collect();
            json!({ "source": sample.origin, "sequences": sequences })
        });
        json!({
            "format": self.format.name(),
            "kind": found.kind.name(),
            "tokenizer": self.tokenizer,
            "examples": found.num_groups,
            "sequences": found.num_sequences,
            "tokens": found.num_tokens,
            "trained_tokens": found.num_trained_tokens,
            "lengths": {
                "min": found.length_quantile(0.0),
                "median": found.length_quantile(0.5),
                "mean": mean,
                "p95": found.length_quantile(0.95),
                "max": found.length_quantile(1.0),
            },
            "histogram": found.histogram().into_iter().map(bin).collect::<Vec<_>>(),
            "left_out": {
                "bad_rows": self.bad_rows.count,
                "without_answer": self.without_answer.count,
                "too_long": self.too_long.map(|(_, count)| count),
            },
            "samples": samples.collect::<Vec<_>>(),
        })
    }
}
