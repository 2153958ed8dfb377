//! Comparison of a trained model with general compressors: bits per byte of the same validation text.
//!
//! A language model whose loss adds up to `L` nats over the tokens of a text of `B` bytes compresses it to `L / ln 2` bits by
//! arithmetic coding, so that `L / (B · ln 2)` bits per byte, as in every evaluation, are comparable with gzip, xz and zstd,
//! each at its best level. The model has seen the training text; the compressors start from nothing, and pay for it on short
//! texts.

use super::{error::CliError, output::print_message};
use burn::tensor::Device;
use kiln_data::{Corpus, DataConfig, DiskSpace, StopSignal, Subset, ValidationSplit};
use kiln_infer::block_on;
use kiln_train::{
    Models, Recipe,
    checkpoint::sha256_hex,
    evaluate::EvalSet,
    metrics::{CompressionMetrics, MetricsRow},
    objective::LossKind,
    run,
    run_folder::{MetricsLog, RunFolder},
};
use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

/// Maximum size of the compared text, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Size of the compared text after a short run, in bytes.
const MIN_BYTES: u64 = 1 << 16;

/// Measures the finished run at `path` and appends the result to its metrics. Does nothing if that was done before, if
/// the text is made of built-in stories or of examples, or if the objective gives no probability of a whole text. `stop` interrupts
/// while the text is being read.
pub fn compare_compressors(path: &Path, device: &Device, stop: StopSignal) -> Result<(), CliError> {
    let folder = RunFolder::open(path)?;
    let recipe = run::load_recipe(&folder)?;
    let data = data_config(&recipe);
    if !gives_likelihood(&recipe) || run::is_builtin_stories(data) || data.names_examples() {
        return Ok(());
    }
    let rows = run::load_metrics(&folder)?;
    if rows.iter().any(|row| matches!(row, MetricsRow::Compression(_))) {
        return Ok(());
    }
    let last_step = rows.iter().rev().find_map(|row| if let MetricsRow::Step(row) = row { Some(row) } else { None });
    let Some(last_step) = last_step else { return Ok(()) };
    print_message("comparing with gzip, xz and zstd");
    // A token is a few bytes of text, so this takes a fraction of the training time.
    let texts = select_texts(&recipe, last_step.tokens.clamp(MIN_BYTES, MAX_BYTES), stop)?;
    let metrics = CompressionMetrics { step: last_step.step, ..measure_compression(path, texts, device)? };
    let mut log = MetricsLog::truncate_after(&folder.metrics(), last_step.step)?;
    log.append(&MetricsRow::Compression(metrics))?;
    log.sync()?;
    Ok(())
}

/// Whether the loss of the last stage is the negative log-likelihood of the text. That of an objective in Rust is unknown.
fn gives_likelihood(recipe: &Recipe) -> bool {
    recipe.stages.last().is_none_or(|stage| {
        stage.external_objective.is_none() && stage.objective.build().loss_kind() == LossKind::Likelihood
    })
}

/// The data of the last stage, which the model was trained on last.
fn data_config(recipe: &Recipe) -> &DataConfig {
    recipe.stages.last().and_then(|stage| stage.data.as_ref()).unwrap_or(&recipe.data)
}

/// Validation texts in the order of their hashes, up to `max_bytes` in total. The last one is cut off.
///
/// The order by hash makes the selection independent of the order of the source. Texts are cut at a character
/// boundary.
fn select_texts(recipe: &Recipe, max_bytes: u64, stop: StopSignal) -> Result<Vec<String>, CliError> {
    let dataset = run::open_data(data_config(recipe), stop)?;
    let mut hashed = Vec::new();
    for text in dataset.texts(Subset::Validation)? {
        let text = text?;
        hashed.push((sha256_hex(text.as_bytes()), text));
        retain_smallest(&mut hashed, max_bytes);
    }
    hashed.sort();
    let mut remaining = max_bytes as usize;
    let mut texts = Vec::new();
    for (_, mut text) in hashed {
        text.truncate(text.floor_char_boundary(remaining));
        remaining -= text.len();
        texts.push(text);
    }
    texts.retain(|text| !text.is_empty());
    Ok(texts)
}

/// Bounds the memory: once `hashed` holds four times `max_bytes`, keeps the texts with the smallest hashes, up to the
/// first that exceeds `max_bytes`.
fn retain_smallest(hashed: &mut Vec<(String, String)>, max_bytes: u64) {
    if hashed.iter().map(|(_, text)| text.len() as u64).sum::<u64>() < 4 * max_bytes {
        return;
    }
    hashed.sort();
    let mut bytes_before = 0;
    hashed.retain(|(_, text)| {
        let keep = bytes_before < max_bytes;
        bytes_before += text.len() as u64;
        keep
    });
}

/// Bits per byte of `texts` under the model of a run and under the compressors. `step` is that of the loaded checkpoint.
///
/// The whole text is evaluated with the sequence length of the training; documents longer than that are split.
fn measure_compression(path: &Path, texts: Vec<String>, device: &Device) -> Result<CompressionMetrics, CliError> {
    let joined = texts.concat();
    let text = joined.as_bytes();
    let loaded = run::load(path, device)?;
    let stage = loaded.stage_config().clone();
    let split = ValidationSplit::unsplit(Subset::Validation);
    let corpus = Arc::new(Corpus::build(&texts, &split, &loaded.tokenizer, &DiskSpace::in_memory(), |_, _| ())?);
    let size = (stage.row_size(), stage.batch_size);
    let eval_set = EvalSet::new(&corpus, &loaded.tokenizer, size, None, false, loaded.recipe.seed)?;
    let models = Models::new(loaded.model);
    let evaluation = block_on(eval_set.evaluate(&models, &*stage.objective.build()))?;
    Ok(CompressionMetrics {
        step: loaded.step,
        text_bytes: text.len() as u64,
        model_bits_per_byte: evaluation.bits_per_byte,
        gzip: bits_per_byte(text, gzip_size(text))?,
        xz: bits_per_byte(text, xz_size(text))?,
        zstd: bits_per_byte(text, zstd_size(text))?,
    })
}

/// `compressed` is the size in bytes, or the error of the compressor.
fn bits_per_byte(text: &[u8], compressed: io::Result<usize>) -> Result<f64, CliError> {
    let size = compressed.map_err(|error| CliError::failed("compression", format!("a compressor failed: {error}")))?;
    Ok(size as f64 * 8.0 / text.len().max(1) as f64)
}

/// Size of `text` under gzip at its best level.
fn gzip_size(text: &[u8]) -> io::Result<usize> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text)?;
    Ok(encoder.finish()?.len())
}

/// Size of `text` under xz at level 9e. The dictionary is as long as the text: the 64 MiB of the level would take ten
/// times as much memory without compressing better.
fn xz_size(text: &[u8]) -> io::Result<usize> {
    use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
    /// `LZMA_PRESET_EXTREME`.
    const EXTREME: u32 = 1 << 31;
    let mut options = LzmaOptions::new_preset(9 | EXTREME)?;
    options.dict_size(1 << window_log(text));
    let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc32)?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(text)?;
    Ok(encoder.finish()?.len())
}

/// Size of `text` under zstd at level 22 with long-distance matching and a window over the whole text.
fn zstd_size(text: &[u8]) -> io::Result<usize> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 22)?;
    encoder.set_pledged_src_size(Some(text.len() as u64))?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(window_log(text))?;
    encoder.write_all(text)?;
    Ok(encoder.finish()?.len())
}

/// Binary logarithm of a window that holds the whole text, from 4 KiB to 128 MiB.
fn window_log(text: &[u8]) -> u32 {
    text.len().max(1 << 12).next_power_of_two().trailing_zeros().min(27)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compressor_shrinks_repetitive_text() {
        let text: String = (0..2000).map(|i| format!("line {} of {}\n", i * i % 97, i)).collect();
        let sizes =
            [gzip_size(text.as_bytes()), xz_size(text.as_bytes()), zstd_size(text.as_bytes())].map(Result::unwrap);
        assert!(sizes.iter().all(|size| (500..text.len() / 3).contains(size)), "{sizes:?}");
        assert!(sizes[1] < sizes[0], "{sizes:?}");
    }

    #[test]
    fn texts_that_may_be_selected_are_kept() {
        let mut hashed: Vec<_> = (0..10).rev().map(|i| (format!("{i}"), "x".repeat(10))).collect();
        retain_smallest(&mut hashed, 26);
        assert_eq!(hashed.len(), 10, "not much yet");
        retain_smallest(&mut hashed, 25);
        assert_eq!(hashed.iter().map(|(hash, _)| hash.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
    }
}
