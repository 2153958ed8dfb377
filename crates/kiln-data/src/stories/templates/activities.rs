//! Templates of episodes without possessions: walk, weather, idea, help, stranger.

use super::WeightedTemplates;
use crate::stories::sentence_kind::SentenceKind::{self, *};

/// Templates with weights, episode by episode.
#[rustfmt::skip]
pub(super) const TEMPLATES: &[(SentenceKind, WeightedTemplates)] = &[
    (Walk, &[
        (2, "{time}, {a?} {#went} {#how} to the {p+}.{s=1}"),
        (2, "{time}, {a?} {#went} to the {#old} {p+}.{s=1}"),
        (3, "{time}, {a?} and {b?!a} {#went} to the {#old} {p+}.{s=2}"),
        (2, "{time}, the {a.role?} {#went} to the {#old} {p+}.{s=1}"),
    ]),
    (Scene, &[
        (3, "The {#sky} was {#warm}, and {n+} {#little} {animal+} {#stood} {#where}."),
        (2, "It was {#warm} there, and the {#sky} was {#warm}."),
        (2, "{s.They} {#saw} {#trait} {girl} {#where} and {#waved} {#how}."),
    ]),
    (SeeAnimals, &[
        (3, "{s.They} {#saw} {n+} {#little} {animal+} {#where}."),
        (2, "Near the {p}, {s.they} {#saw} {n+} {#little} {animal+}."),
        (1, "There {s.they} {#saw} {n+} {#little} {animal+} {#where}."),
    ]),
    (DescribeAnimals, &[
        (3, "The {animal} {n/was/were} {#needy}."),
        (2, "{n/It/They} {n/was/were} {#needy} and {#scared}."),
        (2, "The {animal} near the {p} {n/was/were} {#needy}."),
        (2, "\"The {animal} {n/has/have} nothing to eat,\" {#said} {a} {#voice}."),
    ]),
    (Feed, &[
        (3, "{s.They} gave {n/it/them} some {#fresh} {food+}."),
        (3, "{a} gave the {animal} some {#fresh} {food+}."),
        (1, "{s.They} {s/was/were} kind and fed the {animal} some {food+}."),
    ]),
    (Eat, &[
        (3, "{n/It/They} ate the {food} {#how} and {#left} away."),
        (3, "The {animal} ate the {food} and {#left} away {#how}."),
        (1, "The {animal} liked the {food} and {#left} away."),
    ]),
    (Rest, &[
        (3, "{s.They} {#rested} there {#how} {#until}."),
        (2, "{s.They} {s/was/were} {#felt} and {#rested} {#how} near the {p}."),
    ]),
    (Storm, &[
        (2, "{time}, it began to {weather+} over the {#old} {p+}."),
        (1, "{time}, the sky was {#dark} and it began to {weather+} near the {p+}."),
    ]),
    (Shelter, &[
        (2, "{a?} and {b?!a} {#went} {#how} to the {#old} {p+}.{s=2}"),
        (1, "{a?} and {b?!a} were {#scared} and {#went} {#how} to the {p+}.{s=2}"),
    ]),
    (Wait, &[
        (2, "They {#rested} there {#how} until the {weather} stopped."),
        (1, "Near the {p}, they waited {#how} for the {weather} to end."),
    ]),
    (Sit, &[
        (2, "{time}, {a?} and {b?!a} sat {#how} by the {#spot}.{s=2}"),
        (1, "{time}, {a?} and {b?!a} rested at the {#old} {p+}.{s=2}"),
    ]),
    (Idea, &[
        (2, "Then {r=ab}{r.he} had {#clever} idea."),
        (1, "{r=ab}{r.He} had a {#good} idea."),
    ]),
    (Suggest, &[
        (3, "\"Let us {pastime+},\" {#said} {r} {#voice}."),
        (1, "\"We could {pastime+},\" {#said} {r}."),
        (2, "\"Let us {pastime+},\" {r.he} {#said} {#voice}."),
    ]),
    (Play, &[
        (2, "So they {pastime} {#how} {#until}."),
        (1, "They {pastime} {#how} {#until}."),
    ]),
    (NeedHelp, &[
        (3, "\"Where is the {a.role?}?\" {#asked} {b?!a} {#voice}.{s=1}"),
        (2, "{time}, {b?} looked {#how} for the {a.role?!b} near the {#old} {p+}.{s=1}"),
    ]),
    (Help, &[
        (2, "{a} came {#how} and {#repaired} the {#old} {#part}."),
        (2, "{a} helped {b.him} {#how}, and they {#repaired} the {#old} {#part}."),
    ]),
    (Meet, &[
        (2, "{time}, {a?} met {c+}, {c.role+}, near the {#old} {p+}.{s=1}"),
        (1, "{time}, {#trait} {girl} named {c+} came to the {p+} and talked to {a?!c}.{s=1}"),
    ]),
    (Show, &[
        (2, "{c} showed {a.him} {x+c}."),
        (1, "{c.He} carried {x+c}."),
    ]),
    (Praise, &[
        (2, "{a} said {#voice} that the {x.noun} was {#praised}."),
        (1, "\"Your {x.noun} is {#praised},\" {#said} {a} {#voice}."),
    ]),
];
