//! The built-in corpus: short stories from a probabilistic grammar, each with its exact probability.

mod choice;
mod grammar;
mod judge;
mod lines;
mod open;
mod plot;
mod read;
mod score;
mod segment;
mod slot;
mod state;
mod lexicon;
mod write;

#[cfg(test)]
mod tests;

pub use judge::{Judgement, judge};
pub use score::{Decided, Kind, Rejected, Story, decided, log_prob, story, text, words};
