//! A run that is interrupted or killed at any moment resumes exactly.

use crate::common::{CommandResult, kiln_command, run_kiln, run_results, tiny_home, write_big_text};
use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// A run long enough to be met on its way.
const TRAIN: [&str; 8] = [
    "train",
    "tiny.toml",
    "--steps",
    "400",
    "--set",
    "stages.0.checkpoint_every=2",
    "--set",
    "stages.0.eval_every=0.25",
];

fn spawn(home: &Path, args: &[&str]) -> Child {
    kiln_command(home, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits for a line that holds `words`.
fn reads(err: &mut impl BufRead, words: &str) {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(err.read_line(&mut line).unwrap() > 0, "no `{words}`");
    }
}

/// What a run computes that nobody stops, and how long it takes.
fn undisturbed(home: &Path) -> ((Vec<Vec<u8>>, Vec<String>), Duration) {
    let started = Instant::now();
    run_kiln(home, &[&TRAIN[..], &["--out", "undisturbed"]].concat()).expect_success();
    (run_results(&home.join("undisturbed")), started.elapsed())
}

#[test]
fn ctrl_c_saves_and_prints_the_resume_command() {
    let home = tiny_home();
    let (wanted, _) = undisturbed(home.path());
    let mut child = spawn(home.path(), &[&TRAIN[..], &["--out", "run", "--json"]].concat());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    reads(&mut err, "step   1 of 400");
    let locked = run_kiln(home.path(), &["train", "--resume", "run", "--json"]);
    assert_eq!((locked.exit_code, &locked.json_output()["error"]["kind"]), (Some(1), &"locked".into()), "{locked:?}");
    signal(&child, "INT");
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    let done = CommandResult::from_output(child.wait_with_output().unwrap());
    assert_eq!(done.exit_code, Some(130), "{rest}");
    assert!(rest.contains("kiln train --resume run"), "{rest}");
    let steps = done.json_output()["steps"].as_u64().unwrap();
    assert!(steps < 400, "{steps}");
    assert!(home.path().join("run/report.html").is_file());
    let rest = run_kiln(home.path(), &["train", "--resume", "run", "--threads", "1"]).expect_success();
    assert!(rest.stderr.contains(&format!("continuing after step {steps}")), "{}", rest.stderr);
    assert_eq!(run_results(&home.path().join("run")), wanted);
}

#[test]
fn ctrl_c_while_reading_text_stops_at_once() {
    let home = tiny_home();
    write_big_text(home.path(), 100);
    let train = ["train", "tiny.toml", "--data", "big.txt.zst", "--set", "stages.0.sequence_length=256", "--out"];
    run_kiln(home.path(), &[&train[..], &["undisturbed"]].concat()).expect_success();
    for args in [[&train[..], &["run"]].concat(), vec!["train", "--resume", "run"]] {
        let mut child = spawn(home.path(), &args);
        let mut err = BufReader::new(child.stderr.take().unwrap());
        reads(&mut err, "run folder: run");
        signal(&child, "INT");
        let mut rest = String::new();
        err.read_to_string(&mut rest).unwrap();
        let done = CommandResult::from_output(child.wait_with_output().unwrap());
        assert_eq!(done.exit_code, Some(130), "{rest}");
        let told = "interrupted while reading text, after step 0 of 6; the state is saved\ncontinue with: kiln train --resume run";
        assert!(done.stdout.contains(told) && !rest.contains("checkpoint saved"), "{rest}{}", done.stdout);
    }
    run_kiln(home.path(), &["train", "--resume", "run"]).expect_success();
    assert_eq!(run_results(&home.path().join("run")), run_results(&home.path().join("undisturbed")));
}

#[test]
fn a_killed_run_resumes_bit_identically() {
    let home = tiny_home();
    let (wanted, mut time) = undisturbed(home.path());
    let mut random = kiln::spec::Random::new(7, "kill", 0, 0);
    let mut kills = 0;
    for attempt in 0..60 {
        let resume = home.path().join("run/recipe.toml").exists();
        let args = if resume { vec!["train", "--resume", "run"] } else { [&TRAIN[..], &["--out", "run"]].concat() };
        let mut child = spawn(home.path(), &args);
        sleep(time.mul_f64(0.02 + 0.3 * random.uniform()));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{:?}", CommandResult::from_output(child.wait_with_output().unwrap()));
            if kills > 3 {
                break;
            }
            // The machine was busier when the time was taken.
            std::fs::remove_dir_all(home.path().join("run")).unwrap();
            (time, kills) = (time.mul_f64(0.5), 0);
            continue;
        }
        assert!(attempt < 59, "the run never ends");
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills > 3, "{kills} kills are no test");
    run_kiln(home.path(), &["train", "--resume", "run"]).expect_success();
    assert_eq!(run_results(&home.path().join("run")), wanted);
}

/// The main job, shortened, under ten kills at random moments: ten minutes.
///
/// `cargo test --release -p kiln kill -- --ignored --nocapture`
#[test]
#[ignore = "takes ten minutes"]
fn the_main_job_survives_ten_kills_at_random_times() {
    let home = tiny_home();
    const MAIN: [&str; 6] = ["train", "--steps", "60", "--set", "stages.*.checkpoint_every=5", "--out"];
    let started = Instant::now();
    run_kiln(home.path(), &[&MAIN[..], &["undisturbed"]].concat()).expect_success();
    let (time, wanted) = (started.elapsed(), run_results(&home.path().join("undisturbed")));
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    let mut random = kiln::spec::Random::new(u64::from(seed), "kill", 0, 0);
    println!("undisturbed in {time:.1?}; seed {seed}");
    let (mut runs, mut kills) = (1, 0);
    while kills < 10 {
        let run = format!("run-{runs}");
        let resume = home.path().join(&run).join("recipe.toml").exists();
        let start = if resume { &["train", "--resume"] } else { &MAIN[..] };
        let mut child = spawn(home.path(), &[start, &[&run[..]]].concat());
        let wait = time.mul_f64(0.6 * random.uniform());
        sleep(wait);
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        let done = CommandResult::from_output(child.wait_with_output().unwrap());
        if let Some(status) = ended {
            assert!(status.success(), "{done:?}");
            assert!(run_results(&home.path().join(&run)) == wanted, "{run}: not the same to the bit");
            runs += 1;
            continue;
        }
        kills += 1;
        println!("{run}, kill {kills} after {wait:.1?}: {}", done.stderr.lines().last().unwrap_or("nothing said yet"));
    }
    let run = format!("run-{runs}");
    if home.path().join(&run).join("recipe.toml").exists() {
        run_kiln(home.path(), &["train", "--resume", &run]).expect_success();
        assert!(run_results(&home.path().join(&run)) == wanted, "{run}: not the same to the bit");
    }
}
