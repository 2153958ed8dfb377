//! Positions and lengths of a model: what its position encodings and score functions allow.

use super::{ModelConfig, Visibility};
use crate::stack::Stack;
use kiln_nn::part::PartConfig;
use kiln_spec::ValidationError;

impl ModelConfig {
    /// Checks the positions of the attention parts: their direction, and that one uses the model's if it has parameters. A
    /// table that no attention part uses would be a parameter without gradient.
    pub(super) fn check_position(&self, path: &str) -> Result<(), ValidationError> {
        let visibility = self.effective_visibility();
        let direction = if self.stack == Stack::EncoderDecoder { Visibility::Causal } else { visibility }.direction(0);
        if let Some(found) = self.find_incompatible_position(direction) {
            let reason =
                format!("`{}` {}; the model's visibility is `{}`", found.part, found.reason, visibility.name());
            return Err(ValidationError::new(format!("{path}.{}", found.path), reason)
                .with_suggestion("visibility = \"causal\", or position = \"rotary\""));
        }
        let is_used = self.parts().any(|(_, part)| inherits_position(part));
        if !self.position.has_attention_parameters() || is_used {
            return Ok(());
        }
        let name = self.position.name();
        let reason = format!(
            "no attention part uses the model's {name} positions: each has positions of its own or is cross-attention"
        );
        Err(ValidationError::new(format!("{path}.position.{name}"), reason).with_suggestion("position = \"none\""))
    }

    /// Width of a query head of the first attention part; `None` if there is none, or if it depends on the call.
    pub(super) fn query_width(&self) -> Option<usize> {
        let mut widths = self.parts().filter_map(|(_, part)| match part {
            PartConfig::Attention(attention) => Some(attention.projection.query_width(self.hidden)),
            _ => None,
        });
        widths.next().flatten()
    }

    /// The longest sequence in tokens, by the positions and the score functions of its attention parts; `None` if there is no
    /// limit.
    pub fn max_positions(&self) -> Option<usize> {
        let of_part = |([_, _, _], part): ([usize; 3], &PartConfig)| match part {
            PartConfig::Attention(attention) => {
                let own = attention.position.as_ref().and_then(|position| position.max_positions());
                [own, attention.score.max_length()].into_iter().flatten().min()
            }
            _ => None,
        };
        self.parts().filter_map(of_part).chain(self.position.max_positions()).min()
    }

    /// Whether positions are encoded differently in contexts of two lengths, by rotary scalings that follow the length. A row
    /// that outgrows its context length must then be read again from its tokens.
    pub fn positions_differ_between(&self, length: usize, other: usize) -> bool {
        let own = self.parts().filter_map(|(_, part)| match part {
            PartConfig::Attention(attention) => attention.position.as_ref(),
            _ => None,
        });
        own.chain([&self.position]).any(|position| position.differs_between(length, other))
    }
}

/// Whether a part is self-attention that uses the position encoding of the model.
fn inherits_position(part: &PartConfig) -> bool {
    matches!(part, PartConfig::Attention(attention) if attention.position.is_none() && !attention.source.is_cross())
}
