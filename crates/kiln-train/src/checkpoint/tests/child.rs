//! Tests with a second process: the test binary runs one of its own tests again, with an environment variable that makes it
//! the child.
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FOLDER: &str = "KILN_TEST_CHILD_IN";

/// The folder that the child works in; none in the parent.
pub fn folder() -> Option<PathBuf> {
    env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs `test` (`module_path!()` and the function's name) again, as a child that works in `folder`.
pub fn again(module: &str, test: &str, folder: &Path) -> Command {
    as_child(Command::new(env::current_exe().unwrap()), module, test, folder)
}

/// [`again`] with a limit on the size of files, in blocks of the shell: it behaves like a full disk, on any Unix and without
/// privileges.
#[cfg(unix)]
pub fn with_little_space(blocks: u32, module: &str, test: &str, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    shell.arg("-c").arg(script).arg(env::current_exe().unwrap());
    as_child(shell, module, test, folder)
}

fn as_child(mut command: Command, module: &str, test: &str, folder: &Path) -> Command {
    let (_, path) = module.split_once("::").unwrap();
    command.args([&format!("{path}::{test}"), "--exact", "--nocapture"]).env(FOLDER, folder);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs the child to its end, which must be a passed test.
pub fn passes(mut command: Command) {
    let output = command.stdout(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
