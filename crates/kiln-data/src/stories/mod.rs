//! Built-in corpus: short stories from a probabilistic grammar with exactly computable probabilities.
//!
//! Because the probability of every text is known, the loss of a trained model has a known lower bound, the entropy of
//! the grammar, and a sampled text can be checked for grammar and consistency without a reference model.
//!
//! | function | result |
//! |---|---|
//! | [`story`], [`text`] | the `index`-th story of a seed, with and without its log-probability |
//! | [`log_prob`] | exact log-probability of any text, or the place where it leaves the grammar |
//! | [`determined_tokens`] | words that are certain given the text before them |
//! | [`evaluate_text`] | well-formedness and consistency of each sentence of a sampled text |
//! | [`preference`] | a true and a corrupted end of a story |
//! | [`words`] | vocabulary of the grammar |
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
//! # Ok::<(), kiln_data::stories::GrammarError>(())
//! ```
//!
//! # The grammar
//! A story introduces a hero with a home, a role, things and a friend, and perhaps a neighbor. One to three episodes
//! follow: a walk with animals, a lost thing, a gift, a trade, a question about an owner, baking, bad weather, a stranger,
//! a call for help, or an idea. The story ends at home. One story in ten is long: a journey of three to six days with
//! episodes on each day. Names, roles, locations, things, owners and numbers recur, some of them many sentences later.
//!
//! Size: 531 words; 136 words per story on average, 350 in a long one; an entropy of about 0.86 nats per word and 0.17
//! nats per byte.
//!
//! Three tables define it: `plot` (which kind of sentence may follow, a Markov chain on the state), `templates`
//! (sentences with slots) and `lexicon` (words). The `state` records everything that later choices depend on: people,
//! things and their owners, remembered words, numbers, the time of day.
//!
//! # Probabilities
//! All probabilities are fixed by hand-written weights; none is estimated from data. Writing a story makes a sequence of
//! choices, each with probability weight / sum of the weights of all options:
//!
//! 1. the kind of the next sentence, or the end of the story, given the state (weights in `plot`);
//! 2. a template of this kind (weights in `templates`);
//! 3. a value for each slot, given the state (`choice`): the `i`-th word of a class has weight 1/(i + 8), a number `n` has
//!    weight 1/(n + 1), people are weighted by prominence, and most other choices are uniform.
//!
//! ```text
//! P(story) = Π over sentences [ P(kind | state) · P(template | kind) · Π over slots P(value | state) ] · P(end | state)
//! ```
//!
//! # Exact log-probability of a text
//! A text may have several derivations: in "Then she had a new idea", "she" may be either of two women. [`log_prob`]
//! therefore sums over all of them, with the forward algorithm of hidden Markov models, one sentence at a time:
//!
//! ```text
//! b₀(s)   = 1 for the initial state, else 0                                belief before the first sentence
//! aₜ(s')  = Σ over s and derivations d of sentence t from s to s'  bₜ₋₁(s) · P(d | s)
//! pₜ      = Σ over s' aₜ(s')                                               P(sentence t | sentences before it)
//! bₜ(s')  = aₜ(s') / pₜ                                                    belief after sentence t
//! ln P    = Σₜ ln pₜ + ln Σ over s b(s) · P(end | s)
//! ```
//!
//! States are finite and almost always determined by the text, so a belief rarely holds more than two states. Derivations
//! of a sentence are enumerated by matching templates against the text from left to right (`parse`). Writing and parsing
//! share the functions that define the options of a slot and their text (`choice`, `surface`), so they cannot disagree;
//! tests compare both with brute-force enumeration.
//!
//! # Determined tokens
//! A word is determined if every continuation of the text before it begins with this word. [`determined_tokens`] lists
//! such words and punctuation marks, graded by [`DependencyKind`]: local grammar, agreement, recall, ownership. A model's
//! accuracy on each grade shows what it has learned.
//!
//! # Evaluation of sampled text
//! [`evaluate_text`] splits a text into sentences and checks each: it is *well-formed* if it is a sentence of the grammar
//! in any state, and *consistent* if the story so far allows it. A text is *complete* if all its sentences are consistent
//! and the story may end there.

mod belief;
mod choice;
mod evaluate;
mod generate;
mod grammar;
mod lexicon;
mod parse;
mod plot;
mod preference;
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
pub use preference::{StoryPreference, preference};
pub use score::{
    DependencyKind, DeterminedToken, GrammarError, Story, determined_tokens, log_prob, story, text, words,
};
