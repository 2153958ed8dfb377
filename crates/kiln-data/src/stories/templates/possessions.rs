//! Templates of episodes about possessions and numbers: lost thing, gift, trade, question about an owner, baking.

use super::WeightedTemplates;
use crate::stories::sentence_kind::SentenceKind::{self, *};

/// Templates with weights, episode by episode.
#[rustfmt::skip]
pub(super) const TEMPLATES: &[(SentenceKind, WeightedTemplates)] = &[
    (Lose, &[
        (3, "{time}, {a?own} could not find {a.his} {x?a} near the {#old} {p+}.{s=1}"),
        (2, "{time}, {a?own} lost {a.his} {x?a} near the {#old} {p+}.{s=1}"),
        (1, "{time}, {a?own} saw that {a.his} {x?a} was gone.{s=1}"),
    ]),
    (Seek, &[
        (3, "\"Have you seen my {x.noun}?\" {a.he} asked {b?!a} {#voice}."),
        (2, "\"Where is my {x.noun}?\" {a.he} asked {b?!a} {#voice}."),
        (2, "{a.He} asked {b?!a} {#voice} about the {x.noun}."),
    ]),
    (TellLocation, &[
        (3, "\"I saw it near the {#old} {p+},\" {#replied} {b}."),
        (2, "\"It may be at the {p+},\" {#replied} {b} {#voice}."),
        (1, "{b} had seen it near the {#old} {p+}."),
    ]),
    (Search, &[
        (3, "They {#went} {#how} to the {p}.{s=2}"),
        (2, "So {a} and {b} {#went} {#how} to the {p}.{s=2}"),
    ]),
    (Find, &[
        (3, "There {a} found the {x.noun} {#hidden}."),
        (2, "The {x} was {#hidden}."),
        (2, "{a.His} {x.noun} was {#hidden}."),
    ]),
    (Relief, &[
        (3, "{a} thanked {b} {#voice} and was {#felt}."),
        (2, "{a.He} was {#pleased} to have {a.his} {x.noun} again."),
    ]),
    (Give, &[
        (3, "{time}, {a?own} {#ly} gave {a.his} {x?a} to {b?!a}.{x>b}{s=1}"),
        (2, "{time}, {a?own} gave {b?!a} the {x?a} {#how}.{x>b}{s=1}"),
        (2, "{time}, {a?own} sold the {x?a} to {b?!a} for {n++} {#coin} coins.{x>b}{s=1}"),
    ]),
    (Swap, &[
        (2, "{time}, {a?own} gave {a.his} {x?a} to {b?own!a} and got the {y?b} for it.{x>b}{y>a}{s=1}"),
        (1, "{time}, {a?own} and {b?own!a} met at the {#old} {p+} and traded the {x?a} for the {y?b}.{x>b}{y>a}{s=2}"),
    ]),
    (StateOwner, &[
        (3, "Now the {x.noun} belonged to {o}, who was {#felt}."),
        (2, "So {o} had the {x}, and {o.he} was {#felt} and {#worn}."),
        (2, "{o} thanked {a} {#voice} for the {x.noun}."),
    ]),
    (SentenceKind::AskOwner, &[
        (3, "\"Who has the {x?}?\" {#asked} {c?!o} {#voice}."),
        (2, "\"Does anybody know who has the {x?}?\" {#asked} {c?!o} {#voice}."),
        (2, "\"Whose is the {x?}?\" {#asked} {c?!o} {#voice}."),
    ]),
    (Answer, &[
        (3, "\"I have it,\" {#replied} {o} {#voice}."),
        (2, "\"It is mine,\" {#replied} {o}."),
    ]),
    (Witness, &[
        (3, "\"{o} has it,\" {#replied} {d?!co} {#voice}."),
        (2, "\"It belongs to {o},\" {#replied} {d?!co}."),
    ]),
    (Borrow, &[
        (2, "{c} asked {#voice} to borrow it, and {o} was {#pleased} to help."),
        (2, "{o} lent the {x.noun} to {c} for {n+} {#good} {n/hour/hours}."),
    ]),
    (Return, &[
        (3, "Then {c} gave the {x.noun} back to {o} {#how}."),
        (2, "{c} used it {#how} {#until} and brought it back to {o}."),
    ]),
    (Bake, &[
        (3, "{time}, {a?} {#made} {n++} {#fresh} {bake+} near the {#old} {p+}.{s=1}"),
        (1, "{time}, the {a.role?} {#made} {n++} {#fresh} {bake+} near the {#old} {p+}.{s=1}"),
    ]),
    (Share, &[
        (3, "{a.He} {#ly} gave {m+} of them to {b?!a}."),
        (2, "{b?!a} ate {m+} of them {#how}."),
    ]),
    (CountLeftover, &[
        (3, "Now only {rest} {bake.rest} {rest/was/were} left."),
        (2, "So {a} had {rest} {bake.rest} left."),
    ]),
];
