//! mT5 (2010.11934): T5 version 1.1 with a multilingual vocabulary.
//!
//! Unlike T5, a head that is tied to the embedding does not scale its input by 1/√M. Reference: `modeling_mt5.py` of
//! transformers.

use super::{
    Family,
    keys::{Absent::*, Constant::*, Key::*},
    t5,
    t5_like::{COMMON_KEYS, FeedForward, SupportedClass},
};

/// Classes of the reference.
const CLASSES: &[&str] = &["MT5ForConditionalGeneration", "MT5Model"];

pub(super) const FAMILY: Family = Family {
    name: "mt5",
    architectures: CLASSES,
    keys: &[
        All(&COMMON_KEYS),
        Size("vocab_size", "vocab", Is(250_112)),
        Size("d_ff", "intermediate", Is(1024)),
        Size("num_layers", "encoder_layers", Is(8)),
        Size("num_decoder_layers", "layers", Same("encoder_layers")),
        Size("num_heads", "heads", Is(6)),
        Converted(&FeedForward { absent: "gated-gelu" }),
        Converted(&SupportedClass { classes: CLASSES }),
        Flag("tie_word_embeddings", "tied", true),
        Fixed("head_scale", Nothing),
    ],
    ..t5::FAMILY
};
