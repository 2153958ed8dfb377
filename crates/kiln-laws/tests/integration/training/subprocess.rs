//! Tests that run themselves again in a child process, with other environment variables.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const FOLDER_VARIABLE: &str = "KILN_LAWS_CHILD_IN";

/// Folder that the child process works in; `None` in the parent.
pub fn folder() -> Option<PathBuf> {
    env::var_os(FOLDER_VARIABLE).map(PathBuf::from)
}

/// Command that runs one test, given by `module_path!()` and function, in a child process that works in `folder`. The
/// thread pool of a process has one size, so that another number of `threads` needs another process.
pub fn rerun_test(module: &str, test: &str, folder: &Path, threads: usize) -> Command {
    let (_, path) = module.split_once("::").unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([&format!("{path}::{test}"), "--exact", "--nocapture"]);
    command.env(FOLDER_VARIABLE, folder).env("RAYON_NUM_THREADS", threads.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs the child process to its end. Its test must pass.
#[track_caller]
pub fn assert_passes(mut command: Command) {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
