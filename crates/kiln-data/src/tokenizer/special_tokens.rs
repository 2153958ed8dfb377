//! Special tokens: the same first ids in every tokenizer that Kiln trains, so that another objective needs no
//! other vocabulary.

use super::roles::TokenRoles;
use crate::DataError;

/// How many sentinels there are.
pub const NUM_SENTINELS: usize = 32;

const ROLE_TOKENS: [&str; 9] = [
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

/// What a special token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRole {
    /// Fills up rows.
    Pad,
    /// Begins a document.
    Bos,
    /// Ends a document.
    Eos,
    /// Stands for a token that is to be predicted.
    Mask,
    /// Stands between two texts.
    Sep,
    /// Name the direction in which a text is read.
    Directions,
    /// Stand for spans that are left out.
    Sentinels,
}

impl TokenRole {
    fn name(self) -> &'static str {
        match self {
            Self::Pad => ROLE_TOKENS[0],
            Self::Bos => ROLE_TOKENS[1],
            Self::Eos => ROLE_TOKENS[2],
            Self::Mask => ROLE_TOKENS[3],
            Self::Sep => ROLE_TOKENS[4],
            Self::Directions => "for the direction of reading (<bidirectional>, …)",
            Self::Sentinels => "for spans (<sentinel_0>, …)",
        }
    }
}

/// Ids of the special tokens by role. A tokenizer that Kiln trained has them all. Somebody else's may lack some: their
/// ids here are stand-ins then, and who needs one asks for it first ([`require`](Self::require)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    pub(crate) missing_roles: Vec<TokenRole>,
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

impl SpecialTokens {
    /// Names of all special tokens of Kiln's own tokenizers in the order of their ids.
    pub fn names() -> Vec<String> {
        let sentinels = (0..NUM_SENTINELS).map(|i| format!("<sentinel_{i}>"));
        ROLE_TOKENS.iter().map(|name| (*name).to_string()).chain(sentinels).collect()
    }

    /// The name of a special token by its id; of any other, none.
    pub fn name_of(&self, id: u32) -> Option<String> {
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

    /// Whether there is such a token, and not just another in its place.
    pub fn has_role(&self, role: TokenRole) -> bool {
        !self.missing_roles.contains(&role)
    }

    /// Refuses a tokenizer that lacks one of these.
    ///
    /// # Errors
    /// The names of the missing ones.
    pub fn require_roles(&self, roles: &[TokenRole]) -> Result<(), DataError> {
        let missing: Vec<String> =
            roles.iter().filter(|role| !self.has_role(**role)).map(|role| role.name().to_string()).collect();
        missing.is_empty().then_some(()).ok_or(DataError::MissingSpecialTokens { missing })
    }

    /// Those of somebody else's tokenizer. A document begins with its `bos`, or `[CLS]`, and ends with its `eos`, or
    /// `[SEP]`; where it has only one of the two, that stands on both sides. Sentinels are T5's.
    pub(crate) fn from_roles(roles: &TokenRoles, id: impl Fn(&str) -> Option<u32>) -> Self {
        let sentinels: Vec<u32> = (0..NUM_SENTINELS).map_while(|i| id(&format!("<extra_id_{i}>"))).collect();
        let (bos, eos) = (roles.bos.or(roles.cls), roles.eos.or(roles.sep));
        let found = [
            (TokenRole::Pad, roles.pad.is_some()),
            (TokenRole::Bos, bos.or(eos).is_some()),
            (TokenRole::Eos, eos.or(bos).is_some()),
            (TokenRole::Mask, roles.mask.is_some()),
            (TokenRole::Sep, roles.sep.is_some()),
            (TokenRole::Directions, false),
            (TokenRole::Sentinels, !sentinels.is_empty()),
        ];
        let absent = found.into_iter().filter(|(_, found)| !found).map(|(role, _)| role).collect();
        // Nobody sees what fills up, and its weight is 0: any id does.
        let pad = roles.pad.or(eos).or(bos).unwrap_or(0);
        Self {
            missing_roles: absent,
            pad,
            bos: bos.or(eos).unwrap_or(pad),
            eos: eos.or(bos).unwrap_or(pad),
            mask: roles.mask.unwrap_or(pad),
            sep: roles.sep.unwrap_or(pad),
            bidirectional: pad,
            left_to_right: pad,
            right_to_left: pad,
            sequence_to_sequence: pad,
            sentinels,
        }
    }

    /// How many Kiln's own tokenizers have.
    pub fn count() -> usize {
        ROLE_TOKENS.len() + NUM_SENTINELS
    }

    /// Finds each role's id by its name.
    pub(crate) fn from_names(id: impl Fn(&str) -> Option<u32>) -> Result<Self, DataError> {
        let names = Self::names();
        let missing: Vec<String> = names.iter().filter(|name| id(name).is_none()).cloned().collect();
        if !missing.is_empty() {
            return Err(DataError::MissingSpecialTokens { missing });
        }
        let ids: Vec<u32> = names.iter().filter_map(|name| id(name)).collect();
        Ok(Self {
            missing_roles: Vec::new(),
            pad: ids[0],
            bos: ids[1],
            eos: ids[2],
            mask: ids[3],
            sep: ids[4],
            bidirectional: ids[5],
            left_to_right: ids[6],
            right_to_left: ids[7],
            sequence_to_sequence: ids[8],
            sentinels: ids[ROLE_TOKENS.len()..].to_vec(),
        })
    }
}
