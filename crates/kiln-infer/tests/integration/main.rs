//! Text generation and its tokenizer checks through the public interface, in one test binary.

mod continuations;
mod generate;
mod probabilities;
mod sentence;
mod settings;
mod text;
mod texts;
mod two_streams;
