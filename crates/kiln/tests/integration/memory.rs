//! Training on text that is larger than memory.

use crate::common::{CommandResult, tiny_home, write_big_text};
use std::{
    fs,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// Trains two steps on so many megabytes of text in an address space of so many.
fn trains_within(megabytes: usize, limit: usize) {
    assert!(megabytes > limit, "the text must be larger than what may be used");
    let home = tiny_home();
    write_big_text(home.path(), megabytes);
    let script = format!("ulimit -v {}; exec \"$0\" \"$@\"", limit * 1000);
    let options = ["--steps", "2", "--threads", "2", "--set", "stages.0.sequence_length=1024", "--out", "run"];
    let mut shell = Command::new("sh");
    shell.current_dir(home.path()).args(["-c", &script, env!("CARGO_BIN_EXE_kiln"), "train", "tiny.toml"]);
    shell.args(["--data", "big.txt.zst"]).args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    let mut peak = String::new();
    while child.try_wait().unwrap().is_none() {
        peak = peak_of(child.id()).unwrap_or(peak);
        sleep(Duration::from_millis(20));
    }
    let done = CommandResult::from_output(child.wait_with_output().unwrap()).expect_success();
    assert!(done.stderr.contains("step 2 of 2"), "{}", done.stderr);
    println!("{megabytes} MB of text in {limit} MB: {peak}");
}

/// The most memory that a process has had so far; only Linux tells.
fn peak_of(process: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let lines: Vec<&str> =
        status.lines().filter(|line| line.starts_with("VmPeak") || line.starts_with("VmHWM")).collect();
    (!lines.is_empty()).then(|| lines.join(", ").split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn a_text_larger_than_memory_trains() {
    trains_within(650, 600);
}

/// The same in full size: up to a minute, and two gigabytes of disk for the tokens.
///
/// `cargo test --release -p kiln memory -- --ignored --nocapture`
#[test]
#[ignore = "takes a minute and two gigabytes of disk"]
fn a_text_larger_than_a_gigabyte_trains_in_one_gigabyte() {
    trains_within(1100, 1000);
}
