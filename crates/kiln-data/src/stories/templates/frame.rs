//! Templates of the introduction, the days of a journey, and the end of a story.

use super::WeightedTemplates;
use crate::stories::sentence_kind::SentenceKind::{self, *};

/// Templates with weights, in plot order.
#[rustfmt::skip]
pub(super) const TEMPLATES: &[(SentenceKind, WeightedTemplates)] = &[
    (Open, &[
        (4, "Once upon a time, {#trait} {girl} named {h+} lived in a {#fair} {home+}."),
        (3, "Once there was {#trait} {girl} named {h+}."),
        (2, "Long ago, in a {#fair} {home+}, there lived {#trait} {girl} named {h+}."),
        (1, "This is the story of {h+}, {#trait} {girl} from a {#fair} {home+}."),
    ]),
    (Home, &[
        (3, "{h.He} lived in a {home+} near the {#old} {p+}."),
        (1, "{h.His} home was a {#fair} {home+} by the {p+}."),
    ]),
    (Role, &[
        (3, "{h.He} was {h.role+} and loved {#hobby}."),
        (2, "{h} worked as {h.role+} near the {#old} {p+}."),
        (1, "{h.He} was {h.role+}."),
    ]),
    (HeroOwns, &[
        (4, "{h.He} had {x+h}."),
        (3, "{h} owned {x+h} and {y+h}."),
        (2, "{h} always carried {x+h}."),
        (1, "{h.His} favourite thing was {x+h}."),
    ]),
    (Friend, &[
        (3, "{h.His} {#dear} friend was {f+}, {f.role+}."),
        (2, "{h} had a friend named {f+}, {f.role+} who loved {#hobby}."),
        (2, "{f+}, {f.role+}, was {h.his} {#dear} friend."),
    ]),
    (FriendOwns, &[
        (4, "{f} had {x+f}."),
        (2, "{f.He} owned {x+f} and {y+f}."),
        (2, "{f} was proud of {x+f}."),
    ]),
    (Neighbor, &[
        (3, "{c+}, {c.role+}, lived next door."),
        (3, "Their neighbour was {c+}, {c.role+} who loved {#hobby}."),
    ]),
    (NeighborOwns, &[
        (3, "{c.He} had {x+c}."),
        (2, "{c} owned {x+c}."),
    ]),
    (Goal, &[
        (3, "{h} {#wanted} to find {g+}."),
        (2, "More than anything, {h} {#wanted} to find {g+}."),
        (2, "{h} had always dreamed of {g+}."),
    ]),
    (Journey, &[
        (2, "So {h} and {f} left the {home} for {days+} days to find {g+}."),
        (1, "{h} and {f} began a journey of {days+} days to look for {g+}."),
    ]),
    (Day, &[
        (3, "On the {day+} day, they {#went} to the {#old} {p+}."),
        (2, "On the {day+} day, the {#sky} was {#warm} over the {#old} {p+}."),
    ]),
    (Remind, &[
        (3, "{h} still {#wanted} to find the {g}."),
        (2, "\"Will we ever find the {g}?\" asked {f} {#voice}."),
        (2, "They talked {#how} about the {home} and the {g}."),
    ]),
    (Mood, &[
        (2, "{s.They} {s/was/were} {#felt} and {#worn}."),
        (1, "It was a {#good} day, and {s.they} {s/was/were} {#felt}."),
    ]),
    (Success, &[
        (2, "At last, {h} found the {g} {#hidden} near the {#old} {p+}.{g>h}"),
        (1, "In the end, the {g} was {#hidden}, and {h} took it.{g>h}"),
    ]),
    (HomeAgain, &[
        (2, "At night, {h} and {f} {#went} {#how} back to the {home}."),
        (1, "Then {h} went home {#how} to the {home}."),
        (1, "The way back to the {home} was {#good} and {#easy}."),
    ]),
    (Close, &[
        (2, "{h} and {f} were {#felt} and {#worn}."),
        (2, "{h.He} thanked {f} {#voice} and slept well."),
        (1, "\"What a {#good} day,\" {#said} {f} {#voice}."),
    ]),
    (KeepThing, &[
        (2, "{h} was {#felt} and still had the {x?h}."),
        (1, "{h.He} put {h.his} {x?h} {#kept} and slept."),
    ]),
    (Moral, &[
        (2, "From that day on, {h} and {f} were {#bonded}."),
        (1, "{h} never forgot that {#good} day."),
    ]),
];
