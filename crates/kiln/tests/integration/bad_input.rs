//! Invalid input: each case gives a message that names the place and the fix, and an exit code.

use crate::common::{CommandResult, TINY_RECIPE, kiln_command, run_kiln, tiny_home, trained_home};
use std::{fs, io::Write, path::Path};

/// What a call must come to.
struct Case<'a> {
    args: &'a [&'a str],
    code: i32,
    kind: &'a str,
    /// Words of message, place or help.
    words: &'a [&'a str],
}

fn case<'a>(args: &'a [&'a str], code: i32, kind: &'a str, words: &'a [&'a str]) -> Case<'a> {
    Case { args, code, kind, words }
}

#[track_caller]
fn check(home: &Path, cases: &[Case]) {
    for case in cases {
        refused(&run_kiln(home, &[case.args, &["--json"]].concat()), case);
    }
}

#[track_caller]
fn refused(done: &CommandResult, case: &Case) {
    assert_eq!(done.exit_code, Some(case.code), "{:?}: {done:?}", case.args);
    let error = &done.json_output()["error"];
    assert_eq!(crate::common::sorted_keys(error), ["help", "kind", "message", "where"]);
    assert_eq!(error["kind"], case.kind, "{:?}: {error}", case.args);
    let said = ["message", "where", "help"].map(|key| error[key].as_str().unwrap_or_default()).join("\n");
    for word in case.words {
        assert!(said.contains(word), "{:?}: `{word}` is not in\n{said}", case.args);
        // A message may have several lines of its own.
        let shown = done.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(&word.split_whitespace().collect::<Vec<_>>().join(" ")), "{word}: {}", done.stderr);
    }
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
}

fn zipped(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn invalid_training_data_is_an_error() {
    let home = tiny_home();
    let put = |name: &str, bytes: &[u8]| fs::write(home.path().join(name), bytes).unwrap();
    put("empty.txt", b"");
    put("latin.txt", b"caf\xe9 noir");
    put("short.txt", b"Ann.");
    put("broken.txt.gz", &zipped(&[b'x'; 4096])[..20]);
    put("broken.txt.zst", &zstd::encode_all(&b"0123456789abcdef"[..], 3).unwrap()[..12]);
    put("odd.jsonl", b"{\"text\": \"Ann.\"}\n{\"text\": \n");
    put("field.jsonl", b"{\"body\": \"Ann.\", \"id\": 7}\n");
    put("huge.jsonl.gz", &zipped(&[b"{\"text\": \"", &vec![b'a'; 65 << 20][..], b"\"}"].concat()));
    fs::create_dir(home.path().join("bare")).unwrap();
    let train = |path| vec!["train", "tiny.toml", "--data", path];
    let with = |path, more: &[&'static str]| [train(path), more.to_vec()].concat();
    check(
        home.path(),
        &[
            case(&train("tiny.tom"), 1, "missing", &["tiny.tom: no such file", "did you mean `tiny.toml`?"]),
            case(&train("empty.txt"), 1, "empty", &["empty.txt", "give files with text"]),
            case(&train("bare"), 1, "empty", &["bare"]),
            case(&train("latin.txt"), 1, "not-utf8", &["latin.txt", "at byte 3", "iconv"]),
            case(&train("short.txt"), 1, "too-short", &["short.txt", "4 bytes"]),
            case(&train("broken.txt.gz"), 1, "broken-archive", &["broken.txt.gz"]),
            case(&train("broken.txt.zst"), 1, "broken-archive", &["broken.txt.zst"]),
            case(&train("odd.jsonl"), 1, "json-line", &["odd.jsonl:2"]),
            case(&train("field.jsonl"), 1, "json-field", &["no field `text`", "`body`, `id`"]),
            case(&with("field.jsonl", &["--field", "id"]), 1, "json-type", &["field.jsonl:1", "expected a string"]),
            case(&train("huge.jsonl.gz"), 1, "json-long-line", &["huge.jsonl.gz:1", "67108864"]),
            case(&["train", "text"], 2, "usage", &["has no training text", "--data PATH"]),
        ],
    );
    let train = ["train", "tiny.toml", "--out", "run"];
    check(home.path(), &[case(&[&train[..], &["--data", "nothing"]].concat(), 1, "missing", &["nothing"])]);
    run_kiln(home.path(), &train).expect_success();
}

#[test]
fn invalid_recipes_are_refused() {
    let home = tiny_home();
    let put = |name: &str, from: &str, to: &str| {
        assert!(TINY_RECIPE.contains(from), "{from}");
        fs::write(home.path().join(name), TINY_RECIPE.replace(from, to)).unwrap();
    };
    put("syntax.toml", "steps = 6", "steps = = 6");
    put("typo.toml", "sequence_length = 32", "sequence_lenght = 32");
    put("part.toml", "\"mlp\"", "\"mlpp\"");
    put("type.toml", "batch_size = 2", "batch_size = \"two\"");
    put("old.toml", "batch_size = 2", "rows = 2");
    put("heads.toml", "heads = 2", "heads = 3");
    put("circle.toml", "name", "extends = \"circle.toml\"\nname");
    put("orphan.toml", "name", "extends = \"storeis\"\nname");
    let train = |name| ["train", name];
    let set = |assignment| ["train", "tiny.toml", "--set", assignment];
    check(
        home.path(),
        &[
            case(&train("syntax.toml"), 2, "syntax", &["syntax.toml:12"]),
            case(
                &train("typo.toml"),
                2,
                "unknown-key",
                &["typo.toml:13", "unknown key `sequence_lenght`", "did you mean `sequence_length`?"],
            ),
            case(&train("part.toml"), 2, "unknown-choice", &["part.toml:9", "did you mean `mlp`?"]),
            case(&train("type.toml"), 2, "value", &["type.toml:14", "expected an integer"]),
            case(&train("old.toml"), 2, "renamed-key", &["old.toml:14", "`rows` was renamed to `batch_size`"]),
            case(&train("heads.toml"), 2, "refused", &["heads.toml:9", "heads = 3 does not divide hidden = 16"]),
            case(&train("circle.toml"), 2, "refused", &["do they extend each other?"]),
            case(&train("orphan.toml"), 2, "refused", &["no built-in recipe `storeis`", "did you mean `stories`?"]),
            case(&train("nothing"), 2, "refused", &["no built-in recipe `nothing`", "stories, stories-long, text"]),
            case(&set("seed"), 2, "set", &["write `key=value`"]),
            case(&set("stages.4.steps=1"), 2, "set", &["index 4 is out of range"]),
            case(&set("model.hiden=8"), 2, "unknown-key", &["did you mean `hidden`?"]),
            case(&set("model.hidden=0"), 2, "refused", &["model.hidden", "found 0"]),
            case(&set("model.hidden=262144"), 2, "refused", &["parameters needs at least", "smaller model.hidden"]),
            case(&set("stages.0.sequence_length=1"), 2, "refused", &["at least 2 tokens"]),
            case(
                &[&set("model.position=cope")[..], &["--set", "stages.0.sequence_length=9000"]].concat(),
                2,
                "refused",
                &["stages[0].sequence_length", "found 9000 tokens", "at most 8192 tokens"],
            ),
            case(&set("tokenizer.bpe.vocab=10"), 2, "refused", &["297"]),
            case(&set("model.vocab=50"), 2, "refused", &["model.vocab = 50, but the tokenizer has 297 tokens"]),
            case(&set("from=nowhere"), 1, "not-a-run", &["nowhere"]),
            case(&["recipe", "explain", "stages.stesp"], 2, "usage", &["did you mean `stages.steps`?"]),
        ],
    );
}

#[test]
fn invalid_command_lines_are_refused() {
    let home = trained_home();
    check(
        home.path(),
        &[
            case(&["train", "--stpes", "3"], 2, "usage", &["unexpected argument '--stpes'", "'--steps'"]),
            case(&["trian"], 2, "usage", &["unrecognized subcommand 'trian'", "'train'"]),
            case(&["train", "--device", "cuda"], 2, "usage", &["no device `cuda`", "--features cuda"]),
            case(&["train", "--device", "abacus"], 2, "usage", &["'abacus'", "flex"]),
            case(&["train", "--steps", "0"], 2, "usage", &["--steps"]),
            case(&["train", "--threads", "none"], 2, "usage", &["--threads"]),
            case(&["train", "--resume", "run", "--set", "seed=1"], 2, "usage", &["cannot be used with"]),
            case(&["generate", "run", "--temperature", "-1"], 2, "usage", &["--temperature", "found -1"]),
            case(&["generate", "run", "--top-p", "1.5"], 2, "usage", &["--top-p", "found 1.5"]),
            case(&["generate", "run", "--top-p", "0"], 2, "usage", &["--top-p", "found 0"]),
            case(&["generate", "run", "--exact", "--device", "ndarray"], 2, "usage", &["--exact", "for the CPU only"]),
            case(&["eval", "run", "--exact", "--device", "wgpu"], 2, "usage", &["--exact", "for the CPU only"]),
        ],
    );
    let plain = run_kiln(home.path(), &["trian"]);
    assert_eq!((plain.exit_code, plain.stdout.as_str()), (Some(2), ""));
    assert_eq!(run_kiln(home.path(), &["--help"]).expect_success().stderr, "");
}

#[test]
fn prompts_that_are_too_long_are_refused() {
    let home = tiny_home();
    let learned = "model.position={ learned = { max_position_embeddings = 32 } }";
    run_kiln(home.path(), &["train", "tiny.toml", "--out", "run", "--set", learned]).expect_success();
    let long = "word ".repeat(20);
    let args = ["generate", "run", "--prompt", &long];
    check(home.path(), &[case(&args, 2, "generate", &["101 tokens", "at most 32 tokens"])]);
    let last =
        run_kiln(home.path(), &["generate", "run", "--prompt", &long[..29], "--json"]).expect_success().json_output();
    assert_eq!(last["stopped_by"], "length");
}

#[test]
fn invalid_folders_are_refused() {
    let home = trained_home();
    fs::write(home.path().join("file"), "mine").unwrap();
    fs::create_dir(home.path().join("other")).unwrap();
    check(
        home.path(),
        &[
            case(&["generate", "nowhere"], 1, "not-a-run", &["nowhere", "found nothing"]),
            case(&["eval", "file"], 1, "not-a-run", &["found a file"]),
            case(&["inspect", "other"], 1, "not-a-run", &["an empty folder"]),
            case(&["compare", "run", "other"], 1, "not-a-run", &["other"]),
            #[cfg(target_os = "linux")]
            case(&["compare", "run", "--out", "/sys/page.html"], 1, "not-writable", &["cannot write /sys/page.html"]),
            case(&["train", "--resume", "other"], 1, "not-a-run", &["recipe.toml"]),
            case(&["train", "tiny.toml", "--out", "run"], 1, "exists", &["run", "--resume run"]),
            case(&["train", "tiny.toml", "--out", "file/below"], 1, "io", &["file"]),
            #[cfg(target_os = "linux")]
            case(&["train", "tiny.toml", "--out", "/sys/kiln/run"], 1, "not-writable", &["/sys/kiln", "--out"]),
        ],
    );
    assert_eq!(fs::read_to_string(home.path().join("file")).unwrap(), "mine");
}

/// What stands where a command asks for a model, and what is said of it.
const NO_MODELS: [(&str, &str, &[&str]); 7] = [
    ("empty", "not-a-run", &["expected a model", "an empty folder", "empty", "a folder with a config.json"]),
    ("bare", "model", &["bare", "no weights", "model.safetensors"]),
    ("cut", "model", &["cut/model.safetensors", "expected a safetensors file", "download the file again"]),
    ("cut.gguf", "model", &["cut.gguf", "download the file again"]),
    ("lama", "model", &["lama/config.json", "model_type", "\"lama\"", "\"llama\""]),
    ("odd", "model", &["odd/config.json", "hidden_act", "mish"]),
    ("words", "model", &["words/config.json", "download the file again"]),
];

#[test]
fn invalid_models_are_refused() {
    let home = tiny_home();
    let (here, at) = (home.path(), |name: &str| home.path().join(name));
    fs::create_dir(at("empty")).unwrap();
    for name in ["bare", "cut", "lama", "odd", "words"] {
        crate::common::write_word_model(
            "hf/llama-biases",
            &at(name),
            &[(0, "<unk>"), (1, "<s>"), (2, "</s>")],
            "<s> A",
        );
    }
    fs::remove_file(at("bare/model.safetensors")).unwrap();
    let halve = |from: &Path, to: &Path| {
        let bytes = fs::read(from).unwrap();
        fs::write(to, &bytes[..bytes.len() / 2]).unwrap();
    };
    halve(&at("cut/model.safetensors"), &at("cut/model.safetensors"));
    halve(&crate::common::crate_path("kiln-pretrained/tests/fixtures/tiny-llama.gguf"), &at("cut.gguf"));
    crate::common::set_config_key(&at("lama"), "model_type", "lama".into());
    crate::common::set_config_key(&at("odd"), "hidden_act", "mish".into());
    fs::write(at("words/config.json"), "{ \"model_type\": ").unwrap();
    fs::write(at("text.txt"), "w7 w8 w9 ".repeat(999)).unwrap();
    let commands: [&[&str]; 9] = [
        &["generate", "", "--max-new-tokens", "1"],
        &["chat", ""],
        &["eval", "", "--data", "text.txt"],
        &["inspect", ""],
        &["logits", "", "--ids", "1"],
        &["embed", "", "--text", "w7"],
        &["verify", ""],
        &["export", "", "--format", "hf", "--out", "out"],
        &["train", "--data", "text.txt", "--out", "out", "--from", ""],
    ];
    let before = crate::common::list_files(here);
    for (model, kind, words) in NO_MODELS {
        for command in commands {
            let args: Vec<&str> = command.iter().map(|word| if word.is_empty() { model } else { word }).collect();
            check(here, &[case(&args, 1, kind, words)]);
        }
    }
    assert_eq!(crate::common::list_files(here), before, "nothing is written");
}

#[test]
fn damaged_run_folders_are_errors() {
    let home = trained_home();
    let run = home.path().join("run");
    let checkpoint = run.join("stages/0-pretrain/checkpoints/step-000006");
    let spoil = |path: &Path, change: &dyn Fn(&mut Vec<u8>), cases: &[Case]| {
        let whole = fs::read(path).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
        check(home.path(), cases);
        fs::write(path, whole).unwrap();
    };
    let resume = ["train", "--resume", "run"];
    let generate = ["generate", "run", "--max-new-tokens", "1"];
    let cut: &dyn Fn(&mut Vec<u8>) = &|bytes| bytes.truncate(bytes.len() / 2);
    let flip: &dyn Fn(&mut Vec<u8>) = &|bytes| *bytes.last_mut().unwrap() ^= 1;
    let model = checkpoint.join("model.safetensors");
    let damaged = |args, file| case(args, 1, "damaged", file);
    spoil(
        &model,
        cut,
        &[damaged(&resume, &["model.safetensors", "rename"]), damaged(&generate, &["model.safetensors"])],
    );
    spoil(&model, flip, &[damaged(&resume, &["model.safetensors", "from step 4"])]);
    spoil(&checkpoint.join("train.safetensors"), flip, &[damaged(&resume, &["train.safetensors"])]);
    spoil(&checkpoint.join("state.json"), cut, &[damaged(&resume, &["state.json"])]);
    spoil(&run.join("tokenizer.json"), cut, &[case(&generate, 1, "tokenizer", &["tokenizer"])]);
    let metrics: &dyn Fn(&mut Vec<u8>) = &|bytes| bytes[0] = b'?';
    spoil(&run.join("metrics.jsonl"), metrics, &[case(&resume, 1, "metrics", &["metrics.jsonl:1"])]);
    let other: &dyn Fn(&mut Vec<u8>) = &|bytes| {
        *bytes = String::from_utf8(bytes.clone()).unwrap().replace("hidden = 16", "hidden = 8").into();
    };
    spoil(
        &run.join("recipe.toml"),
        other,
        &[
            case(&generate, 1, "weights", &["model.safetensors", "embedding", "expected [297, 8], found [297, 16]"]),
            case(&resume, 1, "mismatch", &["recipe", "start a new run"]),
        ],
    );
    run_kiln(home.path(), &resume).expect_success();
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_run_resumable() {
    let home = tiny_home();
    run_kiln(home.path(), &["train", "tiny.toml", "--out", "undisturbed"]).expect_success();
    // A limit on the size of files, in blocks of the shell's: what a full disk looks like, without privileges.
    let limited = |blocks: u32, args: &[&str]| {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut shell = std::process::Command::new("sh");
        shell.current_dir(home.path()).args(["-c", &script, env!("CARGO_BIN_EXE_kiln")]).args(args);
        CommandResult::from_output(shell.output().unwrap())
    };
    let args = ["train", "tiny.toml", "--out", "run", "--json"];
    refused(&limited(40, &args), &case(&args, 1, "disk-full", &["safetensors", "free some space, then resume"]));
    run_kiln(home.path(), &["train", "--resume", "run"]).expect_success();
    assert_eq!(
        crate::common::run_results(&home.path().join("run")),
        crate::common::run_results(&home.path().join("undisturbed"))
    );
    let mut full = kiln_command(home.path(), &["devices"]);
    if let Ok(device) = fs::OpenOptions::new().write(true).open("/dev/full") {
        let done = CommandResult::from_output(full.stdout(device).output().unwrap());
        assert_eq!(done.exit_code, Some(1), "{done:?}");
        assert!(done.stderr.contains("standard output"), "{done:?}");
    }
}

#[test]
fn a_non_finite_loss_stops_the_run() {
    let home = tiny_home();
    let peak = "stages.0.schedule={ constant = { learning_rate = 1e30, warmup = 0 } }";
    let args =
        ["train", "tiny.toml", "--out", "run", "--steps", "20", "--set", peak, "--set", "stages.0.checkpoint_every=1"];
    check(
        home.path(),
        &[case(&args, 1, "not-finite", &["is not finite; it first appeared at", "the checkpoint of step 1", "lower"])],
    );
    assert!(home.path().join("run/report.html").is_file());
}

#[test]
fn errors_are_plain_lines_without_json() {
    let home = tiny_home();
    fs::write(home.path().join("typo.toml"), TINY_RECIPE.replace("sequence_length", "sequence_lenght")).unwrap();
    let done = run_kiln(home.path(), &["train", "typo.toml"]);
    assert_eq!(done.stdout, "");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines[0], "error: unknown key `sequence_lenght`");
    assert!(lines[1].starts_with("  at: typo.toml:13: "), "{lines:?}");
    assert!(lines[2].starts_with("  help: did you mean `sequence_length`?"), "{lines:?}");
    assert!(!home.path().join("runs").exists());
}
