//! [`SpecialTokens`]: ids of padding, document boundaries, masks, directions and span sentinels.

use super::roles::TokenRoles;
use crate::DataError;

/// Number of span sentinels in a tokenizer trained by Kiln.
pub const NUM_SENTINELS: usize = 32;

/// Names of the special tokens with ids 0 to 8; the sentinels follow.
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

/// Role of a special token, or of a group of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRole {
    /// Padding of rows.
    Pad,
    /// Beginning of a document.
    Bos,
    /// End of a document.
    Eos,
    /// Placeholder of a token to predict.
    Mask,
    /// Separator of two texts.
    Sep,
    /// The four mode tokens of the unified objective.
    Directions,
    /// The span sentinels.
    Sentinels,
}

impl TokenRole {
    /// Name in the message of [`DataError::MissingSpecialTokens`].
    fn name(self) -> &'static str {
        match self {
            Self::Pad => ROLE_TOKENS[0],
            Self::Bos => ROLE_TOKENS[1],
            Self::Eos => ROLE_TOKENS[2],
            Self::Mask => ROLE_TOKENS[3],
            Self::Sep => ROLE_TOKENS[4],
            Self::Directions => "<bidirectional> to <sequence-to-sequence>",
            Self::Sentinels => "<sentinel_0> to <sentinel_31> (or <extra_id_0>, …)",
        }
    }
}

/// Ids of the special tokens by role.
///
/// Every tokenizer that Kiln trains has the same special tokens with the same ids, so that one vocabulary serves every
/// objective:
///
/// | id | name | used by |
/// |---|---|---|
/// | 0 | `<pad>` | batches: the rest of a row |
/// | 1, 2 | `<bos>`, `<eos>` | packing: beginning and end of each document |
/// | 3 | `<mask>` | masked language models (1810.04805): a token to predict |
/// | 4 | `<sep>` | reserved: between the two texts of a pair |
/// | 5–8 | `<bidirectional>`, `<left-to-right>`, `<right-to-left>`, `<sequence-to-sequence>` | the unified objective (UniLM, 1905.03197): the first token of a text names its mode |
/// | 9–40 | `<sentinel_0>` … `<sentinel_31>` | reserved for span corruption (T5, 1910.10683): a span that is left out |
///
/// A tokenizer trained by Kiln has all of them. Another tokenizer may lack some: then the field holds the id of a
/// substitute (`eos` for `bos`, `pad` for most), and code that needs the role calls
/// [`require_roles`](Self::require_roles) first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Roles whose fields hold a substitute.
    pub(crate) missing_roles: Vec<TokenRole>,
    /// Padding of rows: attention never sees it, and its loss weight is 0.
    pub pad: u32,
    /// Beginning of a document.
    pub bos: u32,
    /// End of a document.
    pub eos: u32,
    /// Placeholder of a token to predict.
    pub mask: u32,
    /// Separator of two texts.
    pub sep: u32,
    /// Mode: every token attends to every other.
    pub bidirectional: u32,
    /// Mode: each token attends to those before it.
    pub left_to_right: u32,
    /// Mode: each token attends to those after it.
    pub right_to_left: u32,
    /// Mode: the second text attends to the first and to its own tokens before.
    pub sequence_to_sequence: u32,
    /// Span sentinels: the first stands for the first span that is left out, and so on. Empty if there are none.
    pub sentinels: Vec<u32>,
}

impl SpecialTokens {
    /// Names of all special tokens of a tokenizer trained by Kiln, in the order of their ids.
    pub fn names() -> Vec<String> {
        let sentinels = (0..NUM_SENTINELS).map(|i| format!("<sentinel_{i}>"));
        ROLE_TOKENS.iter().map(|name| (*name).to_string()).chain(sentinels).collect()
    }

    /// Kiln's name of the special token with this id; `None` for other ids.
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
        let index = roles.iter().chain(&self.sentinels).position(|special| *special == id)?;
        Self::names().into_iter().nth(index)
    }

    /// Whether the tokenizer has a token of this role. If not, the field of the role holds a substitute.
    pub fn has_role(&self, role: TokenRole) -> bool {
        !self.missing_roles.contains(&role)
    }

    /// Whether the ids of a text begin with the token that begins a text, so that it gets no second one: a text that
    /// writes `<s>`, or a rendered chat template.
    pub fn begins_text(&self, ids: &[u32]) -> bool {
        self.has_role(TokenRole::Bos) && ids.first() == Some(&self.bos)
    }

    /// Checks that the tokenizer has tokens of all these roles.
    ///
    /// # Errors
    /// [`DataError::MissingSpecialTokens`] with the names of the missing ones.
    pub fn require_roles(&self, roles: &[TokenRole]) -> Result<(), DataError> {
        let missing: Vec<String> =
            roles.iter().filter(|role| !self.has_role(**role)).map(|role| role.name().to_string()).collect();
        if missing.is_empty() { Ok(()) } else { Err(DataError::MissingSpecialTokens { missing }) }
    }

    /// Special tokens of a tokenizer that Kiln did not train; `id` finds the id of a token by its name.
    ///
    /// `bos` falls back to `cls`, `eos` to `sep`; if only one of `bos` and `eos` exists, it takes both roles. Sentinels
    /// are T5's `<extra_id_0>`, `<extra_id_1>`, ….
    pub(crate) fn from_roles(roles: &TokenRoles, id: impl Fn(&str) -> Option<u32>) -> Self {
        let sentinels: Vec<u32> = (0..NUM_SENTINELS).map_while(|i| id(&format!("<extra_id_{i}>"))).collect();
        let bos = roles.bos.or(roles.cls);
        let eos = roles.eos.or(roles.sep);
        let present = [
            (TokenRole::Pad, roles.pad.is_some()),
            (TokenRole::Bos, bos.or(eos).is_some()),
            (TokenRole::Eos, eos.or(bos).is_some()),
            (TokenRole::Mask, roles.mask.is_some()),
            (TokenRole::Sep, roles.sep.is_some()),
            (TokenRole::Directions, false),
            (TokenRole::Sentinels, !sentinels.is_empty()),
        ];
        // Padding is masked everywhere, so that any id can pad.
        let pad = roles.pad.or(eos).or(bos).unwrap_or(0);
        Self {
            missing_roles: present.into_iter().filter(|(_, present)| !present).map(|(role, _)| role).collect(),
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

    /// Number of special tokens of a tokenizer trained by Kiln: 41.
    pub fn count() -> usize {
        ROLE_TOKENS.len() + NUM_SENTINELS
    }

    /// Special tokens of a tokenizer trained by Kiln; `id` finds the id of a token by its name.
    ///
    /// # Errors
    /// [`DataError::MissingSpecialTokens`] with the names that `id` does not find.
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
