//! What a story has told so far: all that a later choice may depend on, and nothing that the text does not show.

use super::{act::Act, lexicon::NAMES};

/// Marks a field that the story has not set.
pub(crate) const NONE: u8 = u8::MAX;

/// A part that somebody plays in the sentences at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Hero,
    Friend,
    A,
    B,
    C,
    D,
    /// The one whose idea it was.
    R,
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
pub(crate) enum Memory {
    Home,
    Place,
    Food,
    Weather,
    Pastime,
    Animal,
    Bake,
}

/// A number in the sentences at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    N,
    M,
    /// `N - M`.
    Rest,
    /// How many people act: one or two.
    Party,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Person {
    pub name: u8,
    pub role: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Thing {
    pub look: u8,
    pub noun: u8,
    pub owner: u8,
}

/// The story so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub told: Act,
    /// The act that began the episode at hand.
    pub episode: Act,
    pub episodes: u8,
    pub cast: [Person; 8],
    pub people: u8,
    pub things: [Thing; 8],
    pub owned: u8,
    pub who: [u8; 8],
    pub item: [u8; 3],
    pub memory: [u8; 7],
    pub n: u8,
    pub m: u8,
    pub party: u8,
    pub gender: u8,
    pub hour: u8,
    pub days: u8,
    pub day: u8,
    /// Nothing is known and everything unset may be anything: one sentence on its own.
    pub open: bool,
}

impl State {
    /// Before the first sentence.
    pub fn start() -> Self {
        Self {
            told: Act::Start,
            episode: Act::Start,
            episodes: 0,
            cast: [Person { name: NONE, role: NONE }; 8],
            people: 0,
            things: [Thing { look: NONE, noun: NONE, owner: NONE }; 8],
            owned: 0,
            who: [NONE; 8],
            item: [NONE; 3],
            memory: [NONE; 7],
            n: NONE,
            m: NONE,
            party: NONE,
            gender: NONE,
            hour: 0,
            days: 0,
            day: 0,
            open: false,
        }
    }

    /// Any state at all: each part is played by somebody of whom nothing is known.
    pub fn open() -> Self {
        let mut state = Self { open: true, people: 8, owned: 3, item: [0, 1, 2], ..Self::start() };
        state.who = [0, 1, 2, 3, 4, 5, 6, 7];
        state.things[0].owner = Who::Owner as u8;
        state
    }

    /// The place in the cast of whoever plays `who`.
    pub fn person(&self, who: Who) -> usize {
        let owned = || self.things.get(usize::from(self.item[Item::X as usize]));
        let place = if who == Who::Owner { owned().map_or(NONE, |x| x.owner) } else { self.who[who as usize] };
        usize::from(place)
    }

    pub fn name(&self, who: Who) -> usize {
        usize::from(self.cast[self.person(who)].name)
    }

    /// 0 female, 1 male.
    pub fn gender(&self, who: Who) -> usize {
        gender(self.name(who))
    }

    pub fn thing(&self, item: Item) -> Thing {
        self.things[usize::from(self.item[item as usize])]
    }

    pub fn amount(&self, amount: Amount) -> u8 {
        match amount {
            Amount::N => self.n,
            Amount::M => self.m,
            Amount::Rest => self.n.saturating_sub(self.m),
            Amount::Party => self.party,
        }
    }

    /// Whether the cast has the name already.
    pub fn knows(&self, name: usize) -> bool {
        self.cast.iter().any(|person| usize::from(person.name) == name)
    }

    /// How many things the person at `place` owns.
    pub fn belongings(&self, place: usize) -> usize {
        self.things[..usize::from(self.owned)].iter().filter(|thing| usize::from(thing.owner) == place).count()
    }

    /// How many people own something.
    pub fn owners(&self) -> usize {
        (0..usize::from(self.people)).filter(|&place| self.belongings(place) > 0).count()
    }

    /// Whether the hero looks for something.
    pub fn has_goal(&self) -> bool {
        self.item[Item::Goal as usize] != NONE
    }
}

/// The gender that a name stands for: 0 female, 1 male.
pub(crate) fn gender(name: usize) -> usize {
    debug_assert!(name < NAMES.len());
    name % 2
}
