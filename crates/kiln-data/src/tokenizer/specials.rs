//! Special tokens: the same first ids in every tokenizer that Kiln trains, so that another objective needs no
//! other vocabulary.

use crate::DataError;

/// How many sentinels there are.
pub const SENTINELS: usize = 32;

const ROLES: [&str; 9] = [
    "<pad>",
    "<bos>",
    "<eos>",
    "<mask>",
    "<sep>",
    "<bidirectional>",
    "<left-to-right>",
    "<right-to-left>",
    "<sequence-to-sequence>",
];

/// Ids of the special tokens by role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specials {
    /// Fills up rows; nobody sees it.
    pub pad: u32,
    /// Begins a document.
    pub bos: u32,
    /// Ends a document.
    pub eos: u32,
    /// Stands for a token that is to be predicted.
    pub mask: u32,
    /// Stands between two texts.
    pub sep: u32,
    /// Mode: every token sees every other.
    pub bidirectional: u32,
    /// Mode: each token sees what is before it.
    pub left_to_right: u32,
    /// Mode: each token sees what is after it.
    pub right_to_left: u32,
    /// Mode: the second text sees the first and what is before it.
    pub sequence_to_sequence: u32,
    /// Stand for the spans of a text that are left out, the first for the first.
    pub sentinels: Vec<u32>,
}

impl Specials {
    /// Names of all special tokens in the order of their ids.
    pub fn names() -> Vec<String> {
        let sentinels = (0..SENTINELS).map(|i| format!("<sentinel_{i}>"));
        ROLES.iter().map(|name| (*name).to_string()).chain(sentinels).collect()
    }

    /// The name of a special token by its id; of any other, none.
    pub fn name(&self, id: u32) -> Option<String> {
        let roles = [
            self.pad,
            self.bos,
            self.eos,
            self.mask,
            self.sep,
            self.bidirectional,
            self.left_to_right,
            self.right_to_left,
            self.sequence_to_sequence,
        ];
        let place = roles.iter().chain(&self.sentinels).position(|special| *special == id)?;
        Self::names().into_iter().nth(place)
    }

    /// How many there are.
    pub fn count() -> usize {
        ROLES.len() + SENTINELS
    }

    /// Finds each role's id by its name.
    pub(crate) fn find(id: impl Fn(&str) -> Option<u32>) -> Result<Self, DataError> {
        let names = Self::names();
        let missing: Vec<String> = names.iter().filter(|name| id(name).is_none()).cloned().collect();
        if !missing.is_empty() {
            return Err(DataError::Specials { missing });
        }
        let ids: Vec<u32> = names.iter().filter_map(|name| id(name)).collect();
        Ok(Self {
            pad: ids[0],
            bos: ids[1],
            eos: ids[2],
            mask: ids[3],
            sep: ids[4],
            bidirectional: ids[5],
            left_to_right: ids[6],
            right_to_left: ids[7],
            sequence_to_sequence: ids[8],
            sentinels: ids[ROLES.len()..].to_vec(),
        })
    }
}
