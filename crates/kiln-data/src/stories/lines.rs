//! The sentences, by what they do, with their weights. [`super::slot`] explains what stands in braces.

use super::plot::{Act, Act::*};

/// Sentences of an act, with weights.
pub(crate) type Sentences = &'static [(u8, &'static str)];

/// Every sentence of the grammar.
#[rustfmt::skip]
pub(crate) const LINES: &[(Act, Sentences)] = &[
    (Open, &[
        (4, "Once upon a time, {#trait} {girl} named {h+} lived in a {home+}."),
        (3, "Once there was {#trait} {girl} named {h+}."),
        (2, "Long ago, in a {#old} {home+}, there lived {#trait} {girl} named {h+}."),
        (1, "This is the story of {h+}, {#trait} {girl} from a {home+}."),
    ]),
    (Home, &[
        (3, "{h.He} lived in a {home+} near the {#old} {p+}."),
        (1, "{h.His} home was a {#old} {home+} by the {p+}."),
    ]),
    (Role, &[
        (3, "{h.He} was {h.role+} and loved {#hobby}."),
        (2, "{h} worked as {h.role+} near the {#old} {p+}."),
        (1, "{h.He} was {h.role+}."),
    ]),
    (Own, &[
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
    (FriendOwn, &[
        (4, "{f} had {x+f}."),
        (2, "{f.He} owned {x+f} and {y+f}."),
        (2, "{f} was proud of {x+f}."),
    ]),
    (Neighbour, &[
        (3, "{c+}, {c.role+}, lived next door."),
        (3, "Their neighbour was {c+}, {c.role+} who loved {#hobby}."),
    ]),
    (NeighbourOwn, &[
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
        (2, "On the {day+} day, the {#sky} was {#warm} and the {p+} was {#calm}."),
    ]),
    (Remind, &[
        (3, "{h} still {#wanted} to find the {g}."),
        (2, "\"Will we ever find the {g}?\" asked {f}."),
        (2, "They talked about the {home} and the {g}."),
    ]),
    (Walk, &[
        (2, "{time}, {a?} {#went} {#how} to the {p+}.{s=1}"),
        (2, "{time}, {a?} {#went} to the {#old} {p+}.{s=1}"),
        (3, "{time}, {a?} and {b?!a} {#went} to the {#old} {p+}.{s=2}"),
        (2, "{time}, the {a.role?} {#went} to the {#old} {p+}.{s=1}"),
    ]),
    (See, &[
        (3, "{s.They} {#saw} {n+} {#little} {animal+} {#where}."),
        (2, "Near the {p}, {s.they} {#saw} {n+} {#little} {animal+}."),
        (1, "There {s.they} {#saw} {n+} {animal+} {#where}."),
    ]),
    (Creatures, &[
        (3, "The {animal} {n/was/were} {#needy}."),
        (2, "{n/It/They} {n/was/were} {#needy} and {#needy}."),
        (2, "The {animal} near the {p} {n/was/were} {#needy}."),
        (2, "\"The {animal} {n/has/have} nothing to eat,\" {#said} {a} {#voice}."),
    ]),
    (Feed, &[
        (3, "{s.They} gave {n/it/them} some {#fresh} {food+}."),
        (3, "{a} gave the {animal} some {#fresh} {food+}."),
        (1, "{s.They} {s/was/were} kind and fed the {animal} some {food+}."),
    ]),
    (Eat, &[
        (3, "{n/It/They} ate the {food} {#how}."),
        (3, "The {animal} ate the {food} and {#left} away {#how}."),
        (1, "The {animal} liked the {food}."),
    ]),
    (Rest, &[
        (3, "{s.They} {#rested} there {#until}."),
        (2, "{s.They} {s/was/were} {#felt} and {#rested} near the {p}."),
    ]),
    (Lose, &[
        (3, "{time}, {a?own} could not find {a.his} {x?a}.{s=1}"),
        (2, "{time}, {a?own} lost {a.his} {x?a}.{s=1}"),
        (1, "{time}, {a?own} saw that {a.his} {x?a} was gone.{s=1}"),
    ]),
    (Seek, &[
        (3, "\"Have you seen my {x.noun}?\" {a.he} asked {b?!a}."),
        (2, "\"Where is my {x.noun}?\" {a.he} asked {b?!a}."),
        (2, "{a.He} asked {b?!a} about the {x.noun}."),
    ]),
    (Tell, &[
        (3, "\"I saw it near the {#old} {p+},\" {#replied} {b}."),
        (2, "\"It may be at the {p+},\" {#replied} {b} {#voice}."),
        (1, "{b} had seen it near the {#old} {p+}."),
    ]),
    (Search, &[
        (3, "They {#went} to the {p} {#how}.{s=2}"),
        (2, "So {a} and {b} {#went} to the {p}.{s=2}"),
    ]),
    (Find, &[
        (3, "There {a} found the {x.noun} {#hidden}."),
        (2, "The {x} was {#hidden}."),
        (2, "{a.His} {x.noun} was {#hidden}."),
    ]),
    (Relief, &[
        (3, "{a} thanked {b} and was {#felt}."),
        (2, "{a.He} was {#pleased} to have {a.his} {x.noun} again."),
    ]),
    (Give, &[
        (3, "{time}, {a?own} gave {a.his} {x?a} to {b?!a}.{x>b}{s=1}"),
        (2, "{time}, {a?own} gave {b?!a} the {x?a} {#how}.{x>b}{s=1}"),
        (2, "{time}, {a?own} sold the {x?a} to {b?!a} for {n++} {#coin} coins.{x>b}{s=1}"),
    ]),
    (Swap, &[
        (2, "{time}, {a?own} gave {a.his} {x?a} to {b?own!a} and got the {y?b} for it.{x>b}{y>a}{s=1}"),
        (1, "{time}, {a?own} and {b?own!a} traded the {x?a} for the {y?b}.{x>b}{y>a}{s=2}"),
    ]),
    (Belong, &[
        (3, "Now the {x.noun} belonged to {o}."),
        (2, "So {o} had the {x}, and {o.he} was {#felt}."),
        (2, "{o} thanked {a} {#voice} for the {x.noun}."),
    ]),
    (Act::Who, &[
        (3, "\"Who has the {x?}?\" {#asked} {c?!o}."),
        (2, "\"Does anybody know who has the {x?}?\" {#asked} {c?!o}."),
        (2, "\"Whose is the {x?}?\" {#asked} {c?!o}."),
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
        (2, "{c} asked to borrow it, and {o} was {#pleased} to help."),
        (2, "{o} lent the {x.noun} to {c} for {n+} {#good} {n/hour/hours}."),
    ]),
    (Return, &[
        (3, "Then {c} gave the {x.noun} back to {o} {#how}."),
        (2, "{c} used it {#how} and brought it back to {o}."),
    ]),
    (Bake, &[
        (3, "{time}, {a?} {#made} {n++} {#fresh} {bake+}.{s=1}"),
        (1, "{time}, the {a.role?} {#made} {n++} {#fresh} {bake+}.{s=1}"),
    ]),
    (Share, &[
        (3, "{a.He} gave {m+} of them to {b?!a}."),
        (2, "{b?!a} ate {m+} of them {#how}."),
    ]),
    (Left, &[
        (3, "Now only {rest} {bake.rest} {rest/was/were} left."),
        (2, "So {a} had {rest} {bake.rest} left."),
    ]),
    (Storm, &[
        (2, "{time}, it began to {weather+}."),
        (1, "{time}, the sky was {#dark} and it began to {weather+}."),
    ]),
    (Shelter, &[
        (2, "{a?} and {b?!a} {#went} to the {#old} {p+}.{s=2}"),
        (1, "{a?} and {b?!a} were {#needy} and {#went} to the {p+}.{s=2}"),
    ]),
    (Wait, &[
        (2, "They {#rested} there {#how} until the {weather} stopped."),
        (1, "In the {p}, they waited {#how} for the {weather} to end."),
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
        (1, "\"Your {x.noun} is {#praised},\" {#said} {a}."),
    ]),
    (Need, &[
        (3, "\"Where is the {a.role?}?\" {#asked} {b?!a}.{s=1}"),
        (2, "{time}, {b?} looked for the {a.role?!b}.{s=1}"),
    ]),
    (Help, &[
        (2, "{a} came and {#repaired} the {#old} {#part}."),
        (2, "{a} helped {b.him}, and they {#repaired} the {#part} together."),
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
    ]),
    (Play, &[
        (2, "So they {pastime} {#until}."),
        (1, "They {pastime} {#how}."),
    ]),
    (Mood, &[
        (2, "{s.They} {s/was/were} {#felt} and {#felt}."),
        (1, "It was a {#good} day, and {s.they} {s/was/were} {#felt}."),
    ]),
    (Success, &[
        (2, "At last, {h} found the {g} near the {#old} {p+}.{g>h}"),
        (1, "In the end, the {g} was {#hidden}, and {h} took it.{g>h}"),
    ]),
    (HomeAgain, &[
        (2, "At night, {h} and {f} {#went} back to the {home}."),
        (1, "Then {h} went home {#how} to the {home}."),
        (1, "The way back to the {home} was {#good}."),
    ]),
    (Close, &[
        (2, "{h} and {f} were {#felt}."),
        (2, "{h.He} thanked {f} {#voice} and slept well."),
        (1, "\"What a {#good} day,\" {#said} {f}."),
    ]),
    (Keep, &[
        (2, "{h} still had the {x?h}."),
        (1, "{h.He} put {h.his} {x?h} {#kept} and slept."),
    ]),
    (Moral, &[
        (2, "From that day on, {h} and {f} were {#bonded}."),
        (1, "{h} never forgot that {#good} day."),
    ]),
];
