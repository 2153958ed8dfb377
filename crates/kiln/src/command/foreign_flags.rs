//! Flags of other programs (transformers, llama.cpp, …), and what they are called here.

use super::error::CliError;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Flags of other programs, without their dashes, and the flag or the recipe key that does the same.
const FOREIGN_FLAGS: &[(&[&str], &str)] = &[
    (&["output-dir", "output", "save-dir"], "--out RUN"),
    (&["model", "model-name-or-path", "base-model", "pretrained", "init-from"], "--from MODEL"),
    (&["resume-from-checkpoint", "checkpoint"], "--resume RUN"),
    (&["dataset", "dataset-name", "train-file", "train-data", "text", "input"], "--data PATH"),
    (&["text-column", "dataset-text-field", "text-field", "column"], "--field NAME"),
    (&["per-device-train-batch-size", "train-batch-size", "micro-batch-size", "bs", "b"], "--batch-size N"),
    (&["num-epochs", "epoch", "max-epochs"], "--epochs N"),
    (&["iters", "max-iters", "num-steps", "n-steps", "total-steps"], "--steps N"),
    (
        &["seq-len", "seq-length", "max-length", "block-size", "context-length", "ctx-size", "max-len", "n-ctx"],
        "--sequence-length N",
    ),
    (&["gradient-accumulation-steps", "grad-accum", "accumulate"], "--set 'stages.*.gradient_accumulation=N'"),
    (&["gradient-checkpointing", "activation-checkpointing"], "--set 'stages.*.gradient_checkpointing=block'"),
    (&["max-grad-norm", "grad-clip", "clip", "gradient-clip-val"], "--set 'stages.*.max_grad_norm=X'"),
    (&["weight-decay", "wd"], "--set 'stages.*.optimizer.adamw.weight_decay=X'"),
    (&["optim", "optimizer"], "--set 'stages.*.optimizer=NAME'"),
    (&["lr-scheduler-type", "lr-scheduler", "scheduler", "schedule"], "--set 'stages.*.schedule=NAME'"),
    (&["warmup-steps", "warmup", "warmup-ratio", "num-warmup-steps"], "--set 'stages.*.schedule.cosine.warmup=N'"),
    (&["min-lr", "min-learning-rate"], "--set 'stages.*.schedule.cosine.min_learning_rate=X'"),
    (&["eval-steps", "eval-interval", "eval-every", "evaluation-strategy"], "--set 'stages.*.eval_every=N'"),
    (&["save-steps", "save-interval", "save-every", "checkpoint-every"], "--set 'stages.*.checkpoint_every=N'"),
    (&["save-total-limit", "keep-checkpoints"], "--set 'stages.*.keep_checkpoints=N'"),
    (&["patience", "early-stopping-patience", "early-stopping"], "--set 'stages.*.early_stopping={ patience = N }'"),
    (&["objective", "task", "mlm", "loss"], "--set 'stages.*.objective=NAME'"),
    (&["mlm-probability", "mask-prob"], "--set 'stages.*.objective.masked.rate=X'"),
    (&["lora-r", "lora-rank", "rank"], "--set 'stages.*.adapter.lora.rank=N'"),
    (&["lora-alpha"], "--set 'stages.*.adapter.lora.alpha=X'"),
    (&["lora-dropout"], "--set 'stages.*.adapter.lora.dropout=X'"),
    (&["lora-target-modules", "target-modules"], "--set 'stages.*.adapter.lora.target_modules=[\"q\", \"v\"]'"),
    (&["use-dora", "dora"], "--set 'stages.*.adapter=dora'"),
    (&["num-virtual-tokens", "prompt-tuning"], "--set 'stages.*.adapter.prompt_tuning.num_virtual_tokens=N'"),
    (&["hidden-size", "d-model", "n-embd", "dim", "hidden"], "--set model.hidden=N"),
    (&["num-layers", "n-layer", "n-layers", "num-hidden-layers", "layers"], "--set 'model.blocks.*.repeat=N'"),
    (
        &["num-heads", "n-head", "n-heads", "num-attention-heads", "heads"],
        "--set 'model.blocks.*.sublayers.0.parts.*.attention.projection.heads.heads=N'",
    ),
    (&["dropout"], "--set model.dropout=X"),
    (&["vocab-size"], "--set tokenizer.bpe.vocab=N"),
    (&["tokenizer", "tokenizer-name"], "--set 'tokenizer={ file = { path = \"PATH\" } }'"),
    (&["validation-split", "val-split", "val-ratio"], "--set data.validation=X"),
    (&["num-threads", "t", "num-workers"], "--threads N"),
    (&["cpu", "cuda", "use-cpu", "gpu"], "--device DEVICE"),
];

/// The same for commands that generate text.
const GENERATION_FLAGS: &[(&[&str], &str)] = &[
    (&["n-predict", "predict", "max-tokens", "num-tokens", "new-tokens", "n"], "--max-new-tokens N"),
    (&["temp", "t"], "--temperature X"),
    (&["p", "text", "input"], "--prompt TEXT"),
    (&["topk"], "--top-k N"),
    (&["topp", "nucleus"], "--top-p X"),
    (&["repeat-penalty"], "--repetition-penalty X"),
    (&["model", "m", "model-name-or-path"], "MODEL, the first argument"),
    (&["lora", "adapters", "peft"], "--adapter FOLDER"),
];

/// What the flag of another program is called in the command `command`, such as `--lr` in `train`; `None` if it is not known.
pub fn equivalent(command: &str, flag: &str) -> Option<&'static str> {
    let name = flag.trim_start_matches('-').split('=').next().unwrap_or_default().replace('_', "-").to_lowercase();
    let flags = match command {
        "train" => FOREIGN_FLAGS,
        "generate" | "chat" => GENERATION_FLAGS,
        _ => return None,
    };
    flags.iter().find(|(names, _)| names.contains(&name.as_str())).map(|(_, equivalent)| *equivalent)
}

/// The error of a flag that another program has and that `kiln` calls otherwise; `None` for any other error.
pub fn foreign_flag_error(error: &clap::Error, arguments: &[String]) -> Option<CliError> {
    let flag = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(flag) if error.kind() == ErrorKind::UnknownArgument => flag,
        _ => return None,
    };
    let command = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'))?;
    let equivalent = equivalent(command, flag)?;
    let message = format!("unknown option `{flag}` of `kiln {command}`");
    Some(CliError::usage(message).with_location(flag.clone()).with_help(format!("use {equivalent}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Cli, recipe_source};
    use clap::CommandFactory;
    use kiln_spec::config::{allowed_keys, explain};
    use kiln_train::Recipe;

    #[test]
    fn spelling_does_not_matter() {
        for flag in ["--weight-decay", "--weight_decay", "--weight-decay=0.1", "--Weight-Decay"] {
            assert_eq!(equivalent("train", flag), Some("--set 'stages.*.optimizer.adamw.weight_decay=X'"), "{flag}");
        }
        assert_eq!(equivalent("train", "--banana"), None);
        assert_eq!(equivalent("generate", "--n_predict"), Some("--max-new-tokens N"));
    }

    /// Every flag that is suggested exists, every key can be set, and no own flag is in the list.
    #[test]
    fn what_is_suggested_exists() {
        let cli = Cli::command();
        let schema = Recipe::schema();
        let paths: Vec<String> = explain(&schema).into_iter().map(|key| key.path.replace("[]", "")).collect();
        for (command, flags) in [("train", FOREIGN_FLAGS), ("generate", GENERATION_FLAGS)] {
            let known = cli.find_subcommand(command).unwrap();
            let is_flag = |name: &str| {
                known.get_arguments().any(|arg| arg.get_long_and_visible_aliases().unwrap_or_default().contains(&name))
            };
            for (names, suggested) in flags {
                names.iter().for_each(|name| assert!(!is_flag(name), "--{name} exists"));
                if let Some(assignment) = suggested.strip_prefix("--set ") {
                    let key =
                        assignment.trim_matches('\'').split('=').next().unwrap().replace(".*", "").replace(".0", "");
                    assert!(paths.contains(&key) || !allowed_keys(&schema, &key).is_empty(), "{key}");
                } else if let Some(flag) = suggested.split(' ').next().unwrap().strip_prefix("--") {
                    assert!(is_flag(flag), "--{flag}");
                }
            }
        }
        let set = "stages.*.schedule.cosine.warmup=3".to_owned();
        recipe_source::load("stories", &[set]).unwrap();
    }
}
