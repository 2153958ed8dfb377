//! The plot: which kind of sentence may follow which, and how often.

use super::act::Act;
use super::state::{Memory, NONE, State, Who as Role};

/// What may be told next, with weights that need not sum to 1. `[(End, _)]` stands for the end of the story.
pub(crate) type Next = Vec<(Act, f64)>;

/// What may follow the story so far.
pub(crate) fn next(state: &State, out: &mut Next) {
    use Act::*;
    out.clear();
    match state.told {
        Start => out.push((Open, 1.0)),
        Open if state.memory[Memory::Home as usize] == NONE => out.push((Home, 1.0)),
        Open | Home => out.push((Role, 1.0)),
        Role => out.extend([(Own, 1.0), (Friend, 1.0)]),
        Own => out.push((Friend, 1.0)),
        Friend => {
            out.extend([(FriendOwn, 5.0), (Neighbour, 1.5)]);
            before_action(state, out, 3.5);
        }
        FriendOwn => {
            out.push((Neighbour, 3.0));
            before_action(state, out, 8.0);
        }
        Neighbour => {
            out.push((NeighbourOwn, 6.0));
            before_action(state, out, 4.0);
        }
        NeighbourOwn => before_action(state, out, 1.0),
        Goal => episode(state, out, 1.0),
        Journey => out.push((Day, 1.0)),
        Day => {
            out.push((Remind, 3.0));
            episode(state, out, 7.0);
        }
        Remind => episode(state, out, 1.0),
        End => {}
        told => within_episode(told, state, out),
    }
}

/// The middle and the end of episodes, and the end of the story.
fn within_episode(told: Act, state: &State, out: &mut Next) {
    use Act::*;
    match told {
        Walk => out.extend([(Scene, 5.0), (See, 4.0), (Rest, 2.0)]),
        Scene => out.extend([(See, 6.0), (Rest, 4.0)]),
        See => out.extend([(Creatures, 6.0), (Feed, 4.0)]),
        Creatures => out.push((Feed, 1.0)),
        Feed => out.push((Eat, 1.0)),
        Lose => out.push((Seek, 1.0)),
        Seek => out.push((Tell, 1.0)),
        Tell => out.push((Search, 1.0)),
        Search => out.push((Find, 1.0)),
        Find => after(state, out, (Relief, 0.6)),
        Give => out.push((Belong, 1.0)),
        Swap => out.push((Belong, 1.0)),
        Who if state.people > 2 => out.extend([(Answer, 4.0), (Witness, 6.0)]),
        Who => out.push((Answer, 1.0)),
        Answer | Witness => after(state, out, (Borrow, 0.5)),
        Borrow => out.push((Return, 1.0)),
        Bake => out.push((Share, 1.0)),
        Share => out.push((Left, 1.0)),
        Storm => out.push((Shelter, 1.0)),
        Shelter => out.push((Wait, 1.0)),
        Meet => out.push((Show, 1.0)),
        Show => out.push((Praise, 1.0)),
        Need => out.push((Help, 1.0)),
        Sit => out.push((Idea, 1.0)),
        Idea => out.push((Suggest, 1.0)),
        Suggest => out.push((Play, 1.0)),
        Eat | Rest | Play | Help | Wait => after(state, out, (Mood, 0.3)),
        Success => out.push((HomeAgain, 1.0)),
        HomeAgain if state.belongings(0) > 0 => out.extend([(Close, 5.0), (Keep, 4.0)]),
        HomeAgain => out.push((Close, 1.0)),
        Close | Keep => out.extend([(Moral, 3.0), (End, 7.0)]),
        Moral => out.push((End, 1.0)),
        _ => after(state, out, (Mood, 0.0)),
    }
}

/// Between the introductions and the first episode.
fn before_action(state: &State, out: &mut Next, total: f64) {
    out.extend([(Act::Goal, 0.3 * total), (Act::Journey, 0.1 * total)]);
    episode(state, out, 0.6 * total);
}

/// The beginnings of episodes, `total` in weight: any but the kind just told, if the story has what it takes.
fn episode(state: &State, out: &mut Next, total: f64) {
    use Act::*;
    let owners = state.owners();
    let room = state.people < 4 && state.owned < 8;
    let kinds = [
        (Walk, 3.0, true),
        (Lose, 2.0, owners > 0),
        (Give, 2.0, owners > 0),
        (Swap, 1.5, owners > 1),
        (Who, 2.5, owners > 0),
        (Bake, 1.5, true),
        (Storm, 1.0, true),
        (Meet, 1.5, room),
        (Need, 1.5, true),
        (Sit, 1.0, true),
    ];
    let possible = || kinds.iter().filter(|(act, _, can)| *can && *act != state.episode);
    let sum: f64 = possible().map(|(_, weight, _)| weight).sum();
    out.extend(possible().map(|(act, weight, _)| (*act, total * weight / sum)));
}

/// After an episode: an optional last word on it, another episode, the next day, or the way home.
fn after(state: &State, out: &mut Next, (coda, share): (Act, f64)) {
    if share > 0.0 {
        out.push((coda, share));
    }
    let rest = 1.0 - share;
    let long = state.days > 0;
    let done = match state.episodes {
        0 | 1 => 0.6,
        2 => 0.9,
        _ => 1.0,
    };
    let close = if long && state.day < state.days {
        Act::Day
    } else if state.has_goal() {
        Act::Success
    } else {
        Act::HomeAgain
    };
    out.push((close, rest * done));
    if done < 1.0 {
        episode(state, out, rest * (1.0 - done));
    }
}

/// Notes that `act` has been told.
pub(crate) fn tell(state: &mut State, act: Act) {
    state.told = act;
    state.gender = NONE;
    if act == Act::Day {
        state.episodes = 0;
        state.hour = 0;
    }
    if act == Act::Play {
        state.who[Role::R as usize] = NONE;
    }
    if act.begins_episode() {
        state.episode = act;
        state.episodes = state.episodes.saturating_add(1);
    }
}
