//! The dashboard in the terminal. `script` (util-linux) gives the program a terminal.

use crate::common::{run_kiln, tiny_home};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// What the program writes to switch to a screen of its own, and back.
const ENTER_SCREEN: &str = "\u{1b}[?1049h";
const LEAVE_SCREEN: &str = "\u{1b}[?1049l";

/// Starts a long run with a dashboard in a terminal of 120 columns, whose output goes to the file `screen`.
fn start(home: &Path) -> Child {
    let kiln = env!("CARGO_BIN_EXE_kiln");
    let steps = "--steps 100000 --set stages.0.checkpoint_every=1000 --set stages.0.eval_every=50";
    let line = format!("stty rows 40 cols 120; exec {kiln} train tiny.toml --out run --tui {steps}");
    let mut command = Command::new("script");
    command.current_dir(home).args(["--quiet", "--flush", "--return", "--command", &line, "screen"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until the screen shows `words`, and returns all that was written to it.
fn wait_for(home: &Path, words: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let screen = String::from_utf8_lossy(&fs::read(home.join("screen")).unwrap_or_default()).into_owned();
        if screen.contains(words) {
            return screen;
        }
        assert!(Instant::now() < deadline, "no {words:?} on the screen: {screen}");
        sleep(Duration::from_millis(20));
    }
}

/// Checks that a run has stopped with its state saved and the terminal given back.
fn check_stopped(home: &Path, mut child: Child) {
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let screen = wait_for(home, LEAVE_SCREEN);
    let after = screen.rsplit(LEAVE_SCREEN).next().unwrap();
    assert!(
        after.contains("the state is saved") && after.contains("continue with: kiln train --resume run"),
        "{after}"
    );
    // The lines of the meantime follow the dashboard.
    assert!(after.contains("step      1 of 100000"), "{after}");
    assert!(home.join("run/report.html").is_file());
    let checkpoints = home.join("run/stages/0-pretrain/checkpoints/last.json");
    assert!(fs::read_to_string(checkpoints).unwrap().contains("step"));
}

#[test]
#[cfg(target_os = "linux")]
fn the_keys_of_the_dashboard_stop_a_run_and_save_its_state() {
    let home = tiny_home();
    let mut child = start(home.path());
    let screen = wait_for(home.path(), "Gradient");
    assert!(screen.contains(ENTER_SCREEN) && screen.contains("Loss"), "{screen}");
    let keys = child.stdin.as_mut().unwrap();
    keys.write_all(b"q").unwrap();
    keys.flush().unwrap();
    wait_for(home.path(), "Cancel");
    sleep(Duration::from_millis(300));
    let keys = child.stdin.as_mut().unwrap();
    keys.write_all(b"s").unwrap();
    keys.flush().unwrap();
    check_stopped(home.path(), child);
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_stops_a_run_with_a_dashboard_and_saves_its_state() {
    let home = tiny_home();
    let mut child = start(home.path());
    wait_for(home.path(), "Gradient");
    let keys = child.stdin.as_mut().unwrap();
    keys.write_all(b"\x03").unwrap();
    keys.flush().unwrap();
    check_stopped(home.path(), child);
}

#[test]
fn without_a_terminal_the_progress_is_printed_as_lines() {
    let home = tiny_home();
    let done = run_kiln(home.path(), &["train", "tiny.toml", "--out", "run", "--tui"]).expect_success();
    let told = "--tui: standard input and output are not a terminal; the progress is printed as lines";
    assert!(done.stderr.contains(told) && done.stderr.contains("step 1 of 6"), "{}", done.stderr);
    assert!(!done.stdout.contains('\u{1b}'));
}
