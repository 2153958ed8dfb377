//! What a story has told so far: all that a later choice may depend on, and nothing that the text does not show.

use super::{lexicon::NAMES, sentence_kind::SentenceKind};

/// Marks a field that the story has not set.
pub(crate) const UNSET: u8 = u8::MAX;

/// A part that somebody plays in the sentences at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CastMember {
    Hero,
    Friend,
    A,
    B,
    C,
    D,
    /// The one whose idea it was.
    IdeaOwner,
    /// Whoever owns thing `x`.
    Owner,
}

/// A thing in the sentences at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    X,
    Y,
    /// What the hero looks for.
    Goal,
}

/// A class whose last word is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordClass {
    Home,
    Location,
    Food,
    Weather,
    Pastime,
    Animal,
    BakedGood,
}

/// A number in the sentences at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    N,
    M,
    /// `N - M`.
    Difference,
    /// How many people act: one or two.
    ActorCount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Person {
    pub name: u8,
    pub role: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Thing {
    pub adjective: u8,
    pub noun: u8,
    pub owner: u8,
}

/// The story so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoryState {
    pub last_kind: SentenceKind,
    /// The act that began the episode at hand.
    pub episode_kind: SentenceKind,
    pub num_episodes: u8,
    pub cast: [Person; 8],
    pub num_people: u8,
    pub things: [Thing; 8],
    pub num_things: u8,
    pub characters: [u8; 8],
    pub items: [u8; 3],
    pub last_words: [u8; 7],
    pub n: u8,
    pub m: u8,
    pub actor_count: u8,
    pub gender: u8,
    pub hour: u8,
    pub num_days: u8,
    pub day: u8,
    /// Nothing is known and everything unset may be anything: one sentence on its own.
    pub is_unconstrained: bool,
}

impl StoryState {
    /// Before the first sentence.
    pub fn initial() -> Self {
        Self {
            last_kind: SentenceKind::Start,
            episode_kind: SentenceKind::Start,
            num_episodes: 0,
            cast: [Person { name: UNSET, role: UNSET }; 8],
            num_people: 0,
            things: [Thing { adjective: UNSET, noun: UNSET, owner: UNSET }; 8],
            num_things: 0,
            characters: [UNSET; 8],
            items: [UNSET; 3],
            last_words: [UNSET; 7],
            n: UNSET,
            m: UNSET,
            actor_count: UNSET,
            gender: UNSET,
            hour: 0,
            num_days: 0,
            day: 0,
            is_unconstrained: false,
        }
    }

    /// Any state at all: each part is played by somebody of whom nothing is known.
    pub fn unconstrained() -> Self {
        let mut state =
            Self { is_unconstrained: true, num_people: 8, num_things: 3, items: [0, 1, 2], ..Self::initial() };
        state.characters = [0, 1, 2, 3, 4, 5, 6, 7];
        state.things[0].owner = CastMember::Owner as u8;
        state
    }

    /// The place in the cast of whoever plays `who`.
    pub fn person_index(&self, who: CastMember) -> usize {
        let owned = || self.things.get(usize::from(self.items[Item::X as usize]));
        let place =
            if who == CastMember::Owner { owned().map_or(UNSET, |x| x.owner) } else { self.characters[who as usize] };
        usize::from(place)
    }

    pub fn name_index(&self, who: CastMember) -> usize {
        usize::from(self.cast[self.person_index(who)].name)
    }

    /// 0 female, 1 male.
    pub fn gender(&self, who: CastMember) -> usize {
        gender(self.name_index(who))
    }

    pub fn thing(&self, item: Item) -> Thing {
        self.things[usize::from(self.items[item as usize])]
    }

    pub fn amount(&self, amount: Amount) -> u8 {
        match amount {
            Amount::N => self.n,
            Amount::M => self.m,
            Amount::Difference => self.n.saturating_sub(self.m),
            Amount::ActorCount => self.actor_count,
        }
    }

    /// Whether the cast has the name already.
    pub fn has_name(&self, name: usize) -> bool {
        self.cast.iter().any(|person| usize::from(person.name) == name)
    }

    /// How many things the person at `place` owns.
    pub fn num_belongings(&self, place: usize) -> usize {
        self.things[..usize::from(self.num_things)].iter().filter(|thing| usize::from(thing.owner) == place).count()
    }

    /// How many people own something.
    pub fn num_owners(&self) -> usize {
        (0..usize::from(self.num_people)).filter(|&place| self.num_belongings(place) > 0).count()
    }

    /// Whether the hero looks for something.
    pub fn has_goal(&self) -> bool {
        self.items[Item::Goal as usize] != UNSET
    }
}

/// The gender that a name stands for: 0 female, 1 male.
pub(crate) fn gender(name: usize) -> usize {
    debug_assert!(name < NAMES.len());
    name % 2
}
