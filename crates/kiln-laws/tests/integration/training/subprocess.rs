//! The test binary runs one of its own tests again as another process, told by a variable that it is the child.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const FOLDER_VARIABLE: &str = "KILN_LAWS_CHILD_IN";

/// The folder that the child works in; none in the parent.
pub fn folder() -> Option<PathBuf> {
    env::var_os(FOLDER_VARIABLE).map(PathBuf::from)
}

/// Runs `test` (`module_path!()` and the function's name) again as a child that works in `folder`, with so many
/// threads to compute with.
pub fn rerun_test(module: &str, test: &str, folder: &Path, threads: usize) -> Command {
    let (_, path) = module.split_once("::").unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([&format!("{path}::{test}"), "--exact", "--nocapture"]);
    command.env(FOLDER_VARIABLE, folder).env("RAYON_NUM_THREADS", threads.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs the child to its end, which must be a passed test.
#[track_caller]
pub fn assert_passes(mut command: Command) {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
