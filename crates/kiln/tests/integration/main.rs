//! The command line, run as its users run it, in one test binary: `cargo test --release -p kiln`.

mod adapted;
mod adapter_forms;
mod bad_input;
mod chat;
mod common;
mod config_keys;
#[cfg(feature = "tui")]
mod dashboard;
mod data;
mod elsewhere;
mod encoders;
mod example_data;
mod examples;
mod export;
mod export_files;
mod generation;
mod hub;
#[cfg(unix)]
mod kill;
mod logs;
#[cfg(unix)]
mod memory;
mod numbers;
mod objectives;
mod others;
mod pages;
mod precision;
mod readme;
mod run_options;
mod sentences;
mod tokenizer_folders;
mod tokenizers;
mod vocabulary;
mod web;
mod whole_way;
