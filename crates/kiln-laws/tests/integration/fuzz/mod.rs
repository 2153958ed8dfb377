//! Readers of untrusted files, with files that are damaged at random: a file is read or refused, in bounded time and
//! without a panic.
//!
//! A reader gets two seconds, or `KILN_FUZZ_SECONDS`. Every run draws the same damage; a longer run continues it. Under
//! `ulimit -v`, an allocation of the size that a header claims ends the process.

mod mutate;
mod seeds;
mod targets;

use mutate::Mutator;
use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Time limit of a reader for a file of a few kilobytes.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Starts a thread that saves the current file and aborts the process if a reader exceeds [`TIMEOUT`].
///
/// The caller sends a file before it is read, and an empty one after.
fn spawn_watchdog(name: String) -> mpsc::Sender<Vec<u8>> {
    let (sender, files) = mpsc::channel::<Vec<u8>>();
    thread::spawn(move || {
        while let Ok(file) = files.recv() {
            if files.recv_timeout(TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
                let kept = env::temp_dir().join(format!("kiln-fuzz-{name}"));
                fs::write(&kept, &file).unwrap();
                eprintln!("{name}: no end after {TIMEOUT:?}, the file is {}", kept.display());
                std::process::abort();
            }
        }
    });
    sender
}

/// Writes the seed files to `KILN_FUZZ_SEEDS/<reader>`, if the variable is set, as the first corpus of libFuzzer.
fn write_seeds(name: &str, seeds: &[Vec<u8>]) {
    let Some(folder) = env::var_os("KILN_FUZZ_SEEDS").map(|home| Path::new(&home).join(name)) else { return };
    fs::create_dir_all(&folder).unwrap();
    seeds.iter().enumerate().for_each(|(i, seed)| fs::write(folder.join(i.to_string()), seed).unwrap());
}

/// Reads mutated files until the time is over. A file that is read whole is mutated further.
fn fuzz(name: &str, seeds: Vec<Vec<u8>>, read: impl Fn(&[u8]) -> bool) {
    assert!(seeds.iter().any(|seed| read(seed)), "{name}: no seed is read");
    write_seeds(name, &seeds);
    let seconds = env::var("KILN_FUZZ_SECONDS").map_or(2, |text| text.parse().expect("whole seconds"));
    let (start, mut mutator) = (Instant::now(), Mutator::new(seeds));
    let (mut rounds, mut whole) = (0u64, 0u64);
    let watched = spawn_watchdog(name.into());
    while start.elapsed() < Duration::from_secs(seconds) {
        let file = mutator.next();
        let begun = Instant::now();
        watched.send(file.clone()).unwrap();
        let read = catch_unwind(AssertUnwindSafe(|| read(&file)));
        watched.send(Vec::new()).unwrap();
        if read.is_err() {
            let kept = env::temp_dir().join(format!("kiln-fuzz-{name}"));
            fs::write(&kept, &file).unwrap();
            panic!("{name}: round {rounds} after {:?}, the file is {}", begun.elapsed(), kept.display());
        }
        rounds += 1;
        if read.unwrap() {
            whole += 1;
            mutator.add(file);
        }
    }
    println!("{name}: {rounds} files, {whole} of them read");
    assert!(whole > 0 && whole < rounds, "{name}: the damage is too small or too large");
}

/// A test for each reader, with its seed files.
macro_rules! fuzz_tests {
    ($($name:ident: $seeds:expr;)*) => {
        $(
            #[test]
            fn $name() {
                fuzz(stringify!($name), $seeds, targets::$name);
            }
        )*
    };
}

fuzz_tests! {
    pickle: seeds::files("kiln-pretrained/tests/fixtures/pickle", "pt");
    gguf: seeds::files("kiln-pretrained/tests/fixtures", "gguf");
    safetensors: seeds::safetensors();
    safetensors_index: seeds::indexes();
    config: seeds::configs();
    tokenizer: seeds::tokenizers();
    tokenizer_config: seeds::tokenizer_configs();
    tokenizer_folder: seeds::tokenizer_folders();
    sentencepiece: vec![seeds::sentencepiece()];
    chat_template: seeds::templates();
    adapter: seeds::adapters();
    modules: seeds::modules();
    parquet: ["fixtures", "fixtures/rows", "fixtures/examples"]
        .map(|folder| seeds::files(&format!("kiln-data/{folder}"), "parquet")).concat();
    json_rows: [("rows", "json"), ("rows", "jsonl"), ("examples", "jsonl")]
        .map(|(folder, name)| seeds::files(&format!("kiln-data/fixtures/{folder}"), name)).concat();
    csv_rows: seeds::files("kiln-data/fixtures/rows", "csv");
    data_file: ["jsonl", "ndjson", "json", "parquet"].map(|name| seeds::files("kiln-data/fixtures/rows", name)).concat();
}
