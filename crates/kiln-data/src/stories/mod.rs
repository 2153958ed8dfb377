//! The built-in corpus: short stories from a probabilistic grammar, each with its exact probability.
//!
//! ```
//! use kiln_data::stories::{log_prob, text};
//! assert_eq!(
//!     text(0, 190),
//!     "Once upon a time, a clever boy named Leo lived in a white village. Leo worked as a sailor near the warm \
//!     garden. He had a red flute. Emma, an inventor, was his oldest friend. Emma was proud of a blue boat. In the \
//!     afternoon, Leo proudly gave his red flute to Emma. Now the flute belonged to Emma, who was merry. At night, \
//!     Leo and Emma walked quietly back to the village. Leo and Emma were proud and hungry."
//! );
//! let story = "Once upon a time, a kind woman named Ruby lived in a small city. She was a farmer and loved birds. Ruby \
//!     always carried an old map. Ida, a singer, was her best friend. Their neighbour was Vera, a baker who loved \
//!     long walks. \"Whose is the old map?\" cried Vera quietly. \"Ruby has it,\" replied Ida with a sigh. The way back \
//!     to the city was merry and easy. Ruby was cheerful and still had the old map.";
//! assert_eq!(text(0, 316), story);
//! assert!((log_prob(story)? + 69.27).abs() < 0.1);
//! # Ok::<(), kiln_data::stories::Rejected>(())
//! ```
//!
//! # The grammar
//! A story opens with a hero, a home, a role, things and a friend, perhaps a neighbour; tells one to three episodes (a
//! walk among animals, something lost and found, given, traded or asked for, baking, bad weather, a stranger, a call for
//! help, an idea); and ends at home. One in ten is long: a journey of three to six days, with episodes on each. Names,
//! roles, places, things, owners and numbers come back, some of them many sentences later. 531 words; about 0.86 nats
//! a word, 0.17 a byte; 136 words a story on average, 350 in a long one.
//!
//! Three tables hold all of it: which kind of sentence may follow which (`plot`), the sentences (`lines`), the words
//! (`lexicon`). Weights are in the tables.
//!
//! # The probability
//! A derivation is a chain of choices: kind of sentence, sentence, and the value of each slot. Each is made with weights
//! that depend on the story so far (`state`) alone, and the state can be read off the text. Writing draws a derivation;
//! reading follows every derivation that fits the text and sums those that give the same text, sentence by sentence,
//! keeping a distribution over states where a sentence leaves one open (whose idea was it, if "she" may be either?).
//! The probability of ending after the last sentence is a factor too. Both, and all tests by brute force, ask the same
//! two functions what a slot may hold and how it reads, so that they cannot disagree.
//!
//! # What the text decides
//! [`decided`] lists the words and marks that the text before them leaves no choice about, graded by [`Kind`]: local
//! grammar, agreement, a name or thing told before, what belongs to whom.

mod belief;
mod choice;
mod evaluate;
mod generate;
mod grammar;
mod lexicon;
mod parse;
mod plot;
mod score;
mod segment;
mod sentence_kind;
mod slot;
mod state;
mod surface;
mod template_syntax;
mod templates;
mod unconstrained;

#[cfg(test)]
mod tests;

pub use evaluate::{GrammarEvaluation, SentenceEvaluation, evaluate_text};
pub use score::{
    DependencyKind, DeterminedToken, GrammarError, Story, determined_tokens, log_prob, story, text, words,
};
