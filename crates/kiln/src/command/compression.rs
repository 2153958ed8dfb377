//! The model beside general compressors: bits a byte of the same held-out text.

use super::{error::CliError, output::print_message};
use burn::tensor::Device;
use kiln_data::{Corpus, DiskSpace, StopSignal, Subset, ValidationSplit};
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

/// The most text that is compared, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Even after a short run so much is, in bytes.
const MIN_BYTES: u64 = 1 << 16;

/// Compares the finished run at `path`, unless that was done, its text is made up by Kiln, or its objective gives no
/// probability of whole texts. Until it has read the text, `stop` ends it.
pub fn compare_compressors(path: &Path, device: &Device, stop: StopSignal) -> Result<(), CliError> {
    let folder = RunFolder::open(path)?;
    let rows = run::load_metrics(&folder)?;
    let done = rows.iter().any(|row| matches!(row, MetricsRow::Compression(_)));
    let recipe = run::load_recipe(&folder)?;
    let whole = recipe.stages.last().is_none_or(|stage| stage.objective.build().loss_kind() == LossKind::Likelihood);
    if !whole {
        return Ok(());
    }
    let trained = rows
        .iter()
        .rev()
        .find_map(|row| if let MetricsRow::Step(row) = row { Some((row.step, row.tokens)) } else { None });
    let (Some((step, tokens)), false, false) = (trained, done, run::is_built_in(data_config(&recipe))) else {
        return Ok(());
    };
    print_message("comparing with gzip, xz and zstd");
    // A token stands for a few bytes: this keeps the comparison to a part of the run's own time.
    let texts = select_texts(&recipe, tokens.clamp(MIN_BYTES, MAX_BYTES), stop)?;
    let compression = CompressionMetrics { step, ..measure_compression(path, texts, device)? };
    let mut log = MetricsLog::truncate_after(&folder.metrics(), step)?;
    log.append(&MetricsRow::Compression(compression))?;
    log.sync()?;
    Ok(())
}

fn data_config(recipe: &Recipe) -> &kiln_data::DataConfig {
    recipe.stages.last().and_then(|stage| stage.data.as_ref()).unwrap_or(&recipe.data)
}

/// Held-out texts in the order of their hashes, up to `most` bytes.
fn select_texts(recipe: &Recipe, most: u64, stop: StopSignal) -> Result<Vec<String>, CliError> {
    let (source, split) = run::open_data(data_config(recipe), stop)?;
    let mut hashed = Vec::new();
    for text in split.texts(&source, Subset::Validation)? {
        let text = text?;
        hashed.push((sha256_hex(text.as_bytes()), text));
        retain_smallest(&mut hashed, most);
    }
    hashed.sort();
    let mut left = most as usize;
    let cut = |(_, mut text): (String, String)| {
        text.truncate(text.floor_char_boundary(left));
        left -= text.len();
        text
    };
    Ok(hashed.into_iter().map(cut).filter(|text| !text.is_empty()).collect())
}

/// Lets go of what can't be among the first `most` bytes, once there is much of it.
fn retain_smallest(hashed: &mut Vec<(String, String)>, most: u64) {
    if hashed.iter().map(|(_, text)| text.len() as u64).sum::<u64>() < 4 * most {
        return;
    }
    hashed.sort();
    let mut before = 0;
    hashed.retain(|(_, text)| {
        let keep = before < most;
        before += text.len() as u64;
        keep
    });
}

fn measure_compression(path: &Path, texts: Vec<String>, device: &Device) -> Result<CompressionMetrics, CliError> {
    let whole = texts.concat();
    let bytes = whole.len() as u64;
    let loaded = run::load(path, device)?;
    let stage = loaded.recipe.stages.last().cloned().unwrap_or_default();
    let split = ValidationSplit::unsplit(Subset::Validation);
    let corpus = Arc::new(Corpus::build(&texts, &split, &loaded.tokenizer, &DiskSpace::in_memory(), |_, _| ())?);
    let size = (stage.sequence_length, stage.batch_size);
    let held = EvalSet::new(&corpus, &loaded.tokenizer, size, None, false, loaded.recipe.seed)?;
    let found = block_on(held.evaluate(&Models { policy: loaded.model }, &*stage.objective.build()))?;
    let bits = |size: io::Result<usize>| {
        size.map(|size| size as f64 * 8.0 / bytes.max(1) as f64)
            .map_err(|error| CliError::failed("compression", format!("a compressor failed: {error}")))
    };
    Ok(CompressionMetrics {
        step: loaded.step,
        text_bytes: bytes,
        model_bits_per_byte: found.loss * found.tokens as f64 / std::f64::consts::LN_2 / bytes.max(1) as f64,
        gzip: bits(gzip_size(whole.as_bytes()))?,
        xz: bits(xz_size(whole.as_bytes()))?,
        zstd: bits(zstd_size(whole.as_bytes()))?,
    })
}

fn gzip_size(text: &[u8]) -> io::Result<usize> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text)?;
    Ok(encoder.finish()?.len())
}

/// Level 9, extreme, with a dictionary as long as the text: the level's own would take ten times as much memory and
/// find no more.
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

fn zstd_size(text: &[u8]) -> io::Result<usize> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 22)?;
    encoder.set_pledged_src_size(Some(text.len() as u64))?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(window_log(text))?;
    encoder.write_all(text)?;
    Ok(encoder.finish()?.len())
}

/// The logarithm of a window that holds all of the text.
fn window_log(text: &[u8]) -> u32 {
    text.len().max(1 << 12).next_power_of_two().trailing_zeros().min(27)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_compressor_does_its_best_and_gives_back_what_went_in() {
        let text: String = (0..2000).map(|i| format!("line {} of {}\n", i * i % 97, i)).collect();
        let sizes =
            [gzip_size(text.as_bytes()), xz_size(text.as_bytes()), zstd_size(text.as_bytes())].map(Result::unwrap);
        assert!(sizes.iter().all(|size| (500..text.len() / 3).contains(size)), "{sizes:?}");
        assert!(sizes[1] < sizes[0], "{sizes:?}");
    }

    #[test]
    fn what_may_be_among_the_smallest_stays() {
        let mut hashed: Vec<_> = (0..10).rev().map(|i| (format!("{i}"), "x".repeat(10))).collect();
        retain_smallest(&mut hashed, 26);
        assert_eq!(hashed.len(), 10, "not much yet");
        retain_smallest(&mut hashed, 25);
        assert_eq!(hashed.iter().map(|(hash, _)| hash.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
    }
}
