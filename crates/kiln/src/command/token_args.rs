//! Flags that end a text, limit its length, and exclude or force tokens. Shared by `kiln generate` and `kiln chat`.

use clap::builder::NonEmptyStringValueParser;
use kiln_infer::GenerationConfig;
use std::str::FromStr;

/// Length, ends, and excluded and forced tokens. A flag takes precedence over the model's `generation_config.json`.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Length and tokens (default: generation_config.json of the model)")]
pub struct TokenArgs {
    /// Maximum number of new tokens.
    #[arg(long, alias = "tokens", value_name = "N", conflicts_with = "max_length")]
    max_new_tokens: Option<usize>,
    /// Maximum number of tokens, those of the prompt included.
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Minimum number of new tokens.
    #[arg(long, value_name = "N", conflicts_with = "min_length", hide_short_help = true)]
    min_new_tokens: Option<usize>,
    /// Minimum number of tokens, those of the prompt included.
    #[arg(long, value_name = "N", hide_short_help = true)]
    min_length: Option<usize>,
    /// End the text before TEXT. May be repeated.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Ids of the tokens that end the text, separated by commas.
    #[arg(long, value_name = "IDS", value_delimiter = ',', hide_short_help = true)]
    eos_token_id: Option<Vec<u32>>,
    /// Ids of tokens that are never generated, separated by commas.
    #[arg(long, value_name = "IDS", value_delimiter = ',', hide_short_help = true)]
    suppress_tokens: Option<Vec<u32>>,
    /// Ids of tokens that are not generated first, separated by commas.
    #[arg(long, value_name = "IDS", value_delimiter = ',', hide_short_help = true)]
    begin_suppress_tokens: Option<Vec<u32>>,
    /// Sequence of token ids that is never generated, separated by commas. May be repeated.
    #[arg(long, value_name = "IDS", hide_short_help = true)]
    bad_words_ids: Vec<IdSequence>,
    /// Number that is added to the logit of the last of these tokens when the others precede it: `5,9=-2.5`. May be
    /// repeated.
    #[arg(long, value_name = "IDS=X", hide_short_help = true)]
    sequence_bias: Vec<SequenceBias>,
    /// Id of the first token after the decoder's start token, or after a prompt of one token.
    #[arg(long, value_name = "ID", hide_short_help = true)]
    forced_bos_token_id: Option<u32>,
    /// Ids of the tokens of which one ends a text of maximum length, separated by commas.
    #[arg(long, value_name = "IDS", value_delimiter = ',', hide_short_help = true)]
    forced_eos_token_id: Option<Vec<u32>>,
    /// Id of the start token of the decoder of an encoder-decoder model.
    #[arg(long, value_name = "ID", hide_short_help = true)]
    decoder_start_token_id: Option<u32>,
    /// Make end tokens more likely after N new tokens, by the factor X for each further token.
    #[arg(long, value_name = "N,X", hide_short_help = true)]
    exponential_decay_length_penalty: Option<LengthPenalty>,
    /// Replace logits that are not finite by finite ones, instead of reporting an error.
    #[arg(long, hide_short_help = true)]
    remove_invalid_values: bool,
    /// Generate no ids without a token. Default: such ids of a padded vocabulary are generated as others, and have no text.
    #[arg(long, hide_short_help = true)]
    pub mask_unassigned: bool,
}

impl TokenArgs {
    /// The settings of the flags.
    pub fn settings(&self) -> GenerationConfig {
        let sequences = self.bad_words_ids.iter().map(|ids| ids.0.clone()).collect();
        let biases = self.sequence_bias.iter().map(|bias| (bias.0.clone(), bias.1)).collect();
        GenerationConfig {
            max_new_tokens: self.max_new_tokens,
            max_length: self.max_length,
            min_new_tokens: self.min_new_tokens,
            min_length: self.min_length,
            stop_strings: (!self.stop.is_empty()).then(|| self.stop.clone()),
            eos_token_id: self.eos_token_id.clone(),
            suppress_tokens: self.suppress_tokens.clone(),
            begin_suppress_tokens: self.begin_suppress_tokens.clone(),
            bad_words_ids: (!self.bad_words_ids.is_empty()).then_some(sequences),
            sequence_bias: (!self.sequence_bias.is_empty()).then_some(biases),
            forced_bos_token_id: self.forced_bos_token_id,
            forced_eos_token_id: self.forced_eos_token_id.clone(),
            decoder_start_token_id: self.decoder_start_token_id,
            exponential_decay_length_penalty: self.exponential_decay_length_penalty.map(|LengthPenalty(n, x)| (n, x)),
            remove_invalid_values: self.remove_invalid_values.then_some(true),
            ..GenerationConfig::default()
        }
    }
}

/// Token ids, separated by commas.
#[derive(Clone, Debug, PartialEq)]
struct IdSequence(Vec<u32>);

impl FromStr for IdSequence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = |id: &str| id.trim().parse().map_err(|_| format!("expected token ids such as `5,9`, found `{text}`"));
        text.split(',').map(id).collect::<Result<_, _>>().map(Self)
    }
}

/// Token ids and a number: `5,9=-2.5`.
#[derive(Clone, Debug, PartialEq)]
struct SequenceBias(Vec<u32>, f64);

impl FromStr for SequenceBias {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(ids, bias)| Some((ids.parse().ok()?, bias.trim().parse().ok()?)));
        let (IdSequence(ids), bias) =
            parts.ok_or_else(|| format!("expected token ids and a number such as `5,9=-2.5`, found `{text}`"))?;
        Ok(Self(ids, bias))
    }
}

/// Number of tokens and factor: `20,1.1`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LengthPenalty(usize, f64);

impl FromStr for LengthPenalty {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(',').and_then(|(n, x)| Some(Self(n.trim().parse().ok()?, x.trim().parse().ok()?)));
        parts.ok_or_else(|| format!("expected a number of tokens and a factor such as `20,1.1`, found `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_and_pairs_are_parsed() {
        assert_eq!("5, 9".parse(), Ok(IdSequence(vec![5, 9])));
        assert_eq!("5,9=-2.5".parse(), Ok(SequenceBias(vec![5, 9], -2.5)));
        assert_eq!("20,1.5".parse(), Ok(LengthPenalty(20, 1.5)));
        assert!(["", "a", "1,", "-1"].iter().all(|text| text.parse::<IdSequence>().is_err()));
        assert!(["5", "=1", "5=x"].iter().all(|text| text.parse::<SequenceBias>().is_err()));
        assert!(["5", "5;1", "-1,2"].iter().all(|text| text.parse::<LengthPenalty>().is_err()));
    }
}
