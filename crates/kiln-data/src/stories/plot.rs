//! Plot: which kinds of sentences may follow a state, and with which weights.
//!
//! ```text
//! Start → Open → (Home) → Role → (HeroOwns) → Friend → (FriendOwns) → (Neighbor → (NeighborOwns))
//!       → Goal | Journey → Day → (Remind) | nothing
//!       → episodes → Success | HomeAgain → Close | KeepThing → (Moral) → End
//! ```
//!
//! An episode is a chain of kinds that starts with one of ten ([`SentenceKind::begins_episode`]). After an episode comes
//! another one, the next day of a journey, or the way home. All weights are written here.

use super::sentence_kind::SentenceKind;
use super::state::{CastMember as Role, StoryState, UNSET, WordClass};

/// Kinds of the next sentence with unnormalized weights. [`SentenceKind::End`] is the end of the story.
pub(crate) type NextKinds = Vec<(SentenceKind, f64)>;

/// Writes the kinds that may follow `state` into `out`, which is cleared first. Never empty, except after the end.
pub(crate) fn next_kinds(state: &StoryState, out: &mut NextKinds) {
    use SentenceKind::*;
    out.clear();
    match state.last_kind {
        Start => out.push((Open, 1.0)),
        Open if state.last_words[WordClass::Home as usize] == UNSET => out.push((Home, 1.0)),
        Open | Home => out.push((Role, 1.0)),
        Role => out.extend([(HeroOwns, 1.0), (Friend, 1.0)]),
        HeroOwns => out.push((Friend, 1.0)),
        Friend => {
            out.extend([(FriendOwns, 5.0), (Neighbor, 1.5)]);
            start_first_episode(state, out, 3.5);
        }
        FriendOwns => {
            out.push((Neighbor, 3.0));
            start_first_episode(state, out, 8.0);
        }
        Neighbor => {
            out.push((NeighborOwns, 6.0));
            start_first_episode(state, out, 4.0);
        }
        NeighborOwns => start_first_episode(state, out, 1.0),
        Goal => push_episode_starts(state, out, 1.0),
        Journey => out.push((Day, 1.0)),
        Day => {
            out.push((Remind, 3.0));
            push_episode_starts(state, out, 7.0);
        }
        Remind => push_episode_starts(state, out, 1.0),
        End => {}
        kind => continue_episode(kind, state, out),
    }
}

/// Kinds that follow within and after episodes, and at the end of the story. `last` is the kind of the last sentence.
fn continue_episode(last: SentenceKind, state: &StoryState, out: &mut NextKinds) {
    use SentenceKind::*;
    match last {
        Walk => out.extend([(Scene, 5.0), (SeeAnimals, 4.0), (Rest, 2.0)]),
        Scene => out.extend([(SeeAnimals, 6.0), (Rest, 4.0)]),
        SeeAnimals => out.extend([(DescribeAnimals, 6.0), (Feed, 4.0)]),
        DescribeAnimals => out.push((Feed, 1.0)),
        Feed => out.push((Eat, 1.0)),
        Lose => out.push((Seek, 1.0)),
        Seek => out.push((TellLocation, 1.0)),
        TellLocation => out.push((Search, 1.0)),
        Search => out.push((Find, 1.0)),
        Find => after_episode(state, out, (Relief, 0.6)),
        Give => out.push((StateOwner, 1.0)),
        Swap => out.push((StateOwner, 1.0)),
        AskOwner if state.num_people > 2 => out.extend([(Answer, 4.0), (Witness, 6.0)]),
        AskOwner => out.push((Answer, 1.0)),
        Answer | Witness => after_episode(state, out, (Borrow, 0.5)),
        Borrow => out.push((Return, 1.0)),
        Bake => out.push((Share, 1.0)),
        Share => out.push((CountLeftover, 1.0)),
        Storm => out.push((Shelter, 1.0)),
        Shelter => out.push((Wait, 1.0)),
        Meet => out.push((Show, 1.0)),
        Show => out.push((Praise, 1.0)),
        NeedHelp => out.push((Help, 1.0)),
        Sit => out.push((Idea, 1.0)),
        Idea => out.push((Suggest, 1.0)),
        Suggest => out.push((Play, 1.0)),
        Eat | Rest | Play | Help | Wait => after_episode(state, out, (Mood, 0.3)),
        Success => out.push((HomeAgain, 1.0)),
        HomeAgain if state.num_belongings(0) > 0 => out.extend([(Close, 5.0), (KeepThing, 4.0)]),
        HomeAgain => out.push((Close, 1.0)),
        Close | KeepThing => out.extend([(Moral, 3.0), (End, 7.0)]),
        Moral => out.push((End, 1.0)),
        _ => after_episode(state, out, (Mood, 0.0)),
    }
}

/// After the introductions, with total weight `total`: a goal (30 %), a journey (10 %), or the first episode (60 %).
fn start_first_episode(state: &StoryState, out: &mut NextKinds, total: f64) {
    out.extend([(SentenceKind::Goal, 0.3 * total), (SentenceKind::Journey, 0.1 * total)]);
    push_episode_starts(state, out, 0.6 * total);
}

/// First sentences of episodes, with total weight `total`.
///
/// The kind of the last episode is excluded. Episodes about things need owners; a stranger needs room in the cast.
fn push_episode_starts(state: &StoryState, out: &mut NextKinds, total: f64) {
    use SentenceKind::*;
    let owners = state.num_owners();
    let has_room = state.num_people < 4 && state.num_things < 8;
    let kinds = [
        (Walk, 3.0, true),
        (Lose, 2.0, owners > 0),
        (Give, 2.0, owners > 0),
        (Swap, 1.5, owners > 1),
        (AskOwner, 2.5, owners > 0),
        (Bake, 1.5, true),
        (Storm, 1.0, true),
        (Meet, 1.5, has_room),
        (NeedHelp, 1.5, true),
        (Sit, 1.0, true),
    ];
    let possible = kinds.iter().filter(|(kind, _, is_possible)| *is_possible && *kind != state.episode_kind);
    let sum: f64 = possible.clone().map(|(_, weight, _)| weight).sum();
    out.extend(possible.map(|(kind, weight, _)| (*kind, total * weight / sum)));
}

/// After an episode: an optional closing sentence `coda`, another episode, the next day, or the way home.
///
/// `coda` has probability `coda_probability`. Otherwise the episodes of the day, or of a story without a journey, end
/// with probability 0.6 after the first, 0.9 after the second and 1 after the third.
fn after_episode(state: &StoryState, out: &mut NextKinds, (coda, coda_probability): (SentenceKind, f64)) {
    if coda_probability > 0.0 {
        out.push((coda, coda_probability));
    }
    let rest = 1.0 - coda_probability;
    let is_journey = state.num_days > 0;
    let end_probability = match state.num_episodes {
        0 | 1 => 0.6,
        2 => 0.9,
        _ => 1.0,
    };
    let closing = if is_journey && state.day < state.num_days {
        SentenceKind::Day
    } else if state.has_goal() {
        SentenceKind::Success
    } else {
        SentenceKind::HomeAgain
    };
    out.push((closing, rest * end_probability));
    if end_probability < 1.0 {
        push_episode_starts(state, out, rest * (1.0 - end_probability));
    }
}

/// Updates `state` at the end of a sentence of the given kind: sets the last kind, counts episodes, and forgets what only
/// mattered within the sentence, the day or the episode. Forgetting keeps beliefs small.
pub(crate) fn record_sentence(state: &mut StoryState, kind: SentenceKind) {
    state.last_kind = kind;
    state.gender = UNSET;
    if kind == SentenceKind::Day {
        state.num_episodes = 0;
        state.hour = 0;
    }
    if kind == SentenceKind::Play {
        state.characters[Role::IdeaOwner as usize] = UNSET;
    }
    if kind.begins_episode() {
        state.episode_kind = kind;
        state.num_episodes = state.num_episodes.saturating_add(1);
    }
}
