//! The plot: which kind of sentence may follow which, and how often.

use super::sentence_kind::SentenceKind;
use super::state::{CastMember as Role, StoryState, UNSET, WordClass};

/// What may be told next, with weights that need not sum to 1. `[(End, _)]` stands for the end of the story.
pub(crate) type NextKinds = Vec<(SentenceKind, f64)>;

/// What may follow the story so far.
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
        told => continue_episode(told, state, out),
    }
}

/// The middle and the end of episodes, and the end of the story.
fn continue_episode(told: SentenceKind, state: &StoryState, out: &mut NextKinds) {
    use SentenceKind::*;
    match told {
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

/// Between the introductions and the first episode.
fn start_first_episode(state: &StoryState, out: &mut NextKinds, total: f64) {
    out.extend([(SentenceKind::Goal, 0.3 * total), (SentenceKind::Journey, 0.1 * total)]);
    push_episode_starts(state, out, 0.6 * total);
}

/// The beginnings of episodes, `total` in weight: any but the kind just told, if the story has what it takes.
fn push_episode_starts(state: &StoryState, out: &mut NextKinds, total: f64) {
    use SentenceKind::*;
    let owners = state.num_owners();
    let room = state.num_people < 4 && state.num_things < 8;
    let kinds = [
        (Walk, 3.0, true),
        (Lose, 2.0, owners > 0),
        (Give, 2.0, owners > 0),
        (Swap, 1.5, owners > 1),
        (AskOwner, 2.5, owners > 0),
        (Bake, 1.5, true),
        (Storm, 1.0, true),
        (Meet, 1.5, room),
        (NeedHelp, 1.5, true),
        (Sit, 1.0, true),
    ];
    let possible = || kinds.iter().filter(|(act, _, can)| *can && *act != state.episode_kind);
    let sum: f64 = possible().map(|(_, weight, _)| weight).sum();
    out.extend(possible().map(|(act, weight, _)| (*act, total * weight / sum)));
}

/// After an episode: an optional last word on it, another episode, the next day, or the way home.
fn after_episode(state: &StoryState, out: &mut NextKinds, (coda, share): (SentenceKind, f64)) {
    if share > 0.0 {
        out.push((coda, share));
    }
    let rest = 1.0 - share;
    let long = state.num_days > 0;
    let done = match state.num_episodes {
        0 | 1 => 0.6,
        2 => 0.9,
        _ => 1.0,
    };
    let close = if long && state.day < state.num_days {
        SentenceKind::Day
    } else if state.has_goal() {
        SentenceKind::Success
    } else {
        SentenceKind::HomeAgain
    };
    out.push((close, rest * done));
    if done < 1.0 {
        push_episode_starts(state, out, rest * (1.0 - done));
    }
}

/// Notes that `act` has been told.
pub(crate) fn record_sentence(state: &mut StoryState, act: SentenceKind) {
    state.last_kind = act;
    state.gender = UNSET;
    if act == SentenceKind::Day {
        state.num_episodes = 0;
        state.hour = 0;
    }
    if act == SentenceKind::Play {
        state.characters[Role::IdeaOwner as usize] = UNSET;
    }
    if act.begins_episode() {
        state.episode_kind = act;
        state.num_episodes = state.num_episodes.saturating_add(1);
    }
}
