//! Story state: everything that later choices may depend on.
//!
//! The state is a function of the text so far, except where a sentence is ambiguous. Values are indices into the tables of
//! [`super::lexicon`] or into [`StoryState::cast`] and [`StoryState::things`]. The state is small and `Copy`, because the
//! parser copies it for each choice.

use super::{lexicon::NAMES, sentence_kind::SentenceKind};

/// Value of a field that the story has not set.
pub(crate) const UNSET: u8 = u8::MAX;

/// Reference to a person in templates. The value is the index into [`StoryState::characters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CastMember {
    /// `h`: the main character.
    Hero,
    /// `f`: the friend of the hero.
    Friend,
    /// `a`: the person who acts in the current episode.
    A,
    /// `b`: the second person of the episode.
    B,
    /// `c`: a third person, such as the neighbor or a stranger.
    C,
    /// `d`: a fourth person.
    D,
    /// `r`: the person who had the idea; `a` or `b`.
    IdeaOwner,
    /// `o`: the current owner of thing `x`; derived from the state.
    Owner,
}

/// Reference to a thing in templates. The value is the index into [`StoryState::items`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `x`: the thing of the current episode.
    X,
    /// `y`: the second thing of a trade, or a second possession.
    Y,
    /// `g`: the thing that the hero wants to find.
    Goal,
}

/// Word class whose last word is remembered. The value is the index into [`StoryState::last_words`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordClass {
    /// `home`: where the hero lives.
    Home,
    /// `p`: the last location.
    Location,
    /// `food`: what the animals were fed.
    Food,
    /// `weather`: what fell from the sky.
    Weather,
    /// `pastime`: what was proposed.
    Pastime,
    /// `animal`: the animals of the walk.
    Animal,
    /// `bake`: what was baked.
    BakedGood,
}

/// Number that words agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// `n`: number of animals, baked goods, coins or hours.
    N,
    /// `m`: number of those that were given away; below `n`.
    M,
    /// `rest`: `n - m`.
    Difference,
    /// `s`: number of people who act, 1 or 2.
    ActorCount,
}

/// Person of the cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Person {
    /// Index into [`NAMES`]; its parity is the gender.
    pub name: u8,
    /// Index into the roles.
    pub role: u8,
}

/// Thing of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Thing {
    /// Index into the adjectives.
    pub adjective: u8,
    /// Index into the things of the lexicon. Nouns are unique within a story.
    pub noun: u8,
    /// Index into the cast; unset for the goal before it is found.
    pub owner: u8,
}

/// State of a story after a sentence, or within one while it is written or parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoryState {
    /// Kind of the last sentence.
    pub last_kind: SentenceKind,
    /// Kind that began the current episode. The next episode is of another kind.
    pub episode_kind: SentenceKind,
    /// Episodes so far; on a journey, those of the current day.
    pub num_episodes: u8,
    /// People in order of their introduction.
    pub cast: [Person; 8],
    /// Number of people in `cast`.
    pub num_people: u8,
    /// Things in order of their introduction.
    pub things: [Thing; 8],
    /// Number of things in `things`.
    pub num_things: u8,
    /// Index into `cast` of each [`CastMember`].
    pub characters: [u8; 8],
    /// Index into `things` of each [`Item`].
    pub items: [u8; 3],
    /// Last word of each [`WordClass`].
    pub last_words: [u8; 7],
    /// [`Amount::N`].
    pub n: u8,
    /// [`Amount::M`].
    pub m: u8,
    /// [`Amount::ActorCount`].
    pub actor_count: u8,
    /// Gender of the person introduced in this sentence: 0 female, 1 male. Unset after each sentence.
    pub gender: u8,
    /// Time of day, 0 to 4. Time phrases only advance it.
    pub hour: u8,
    /// Length of the journey in days; 0 without a journey.
    pub num_days: u8,
    /// Days of the journey that have begun.
    pub day: u8,
    /// Whether unset fields may have any value: for a sentence that is parsed without its story.
    pub is_unconstrained: bool,
}

impl StoryState {
    /// State before the first sentence.
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

    /// State of an unknown story: every [`CastMember`] is another, unknown person and every [`Item`] another, unknown
    /// thing. Unset fields may have any value ([`super::unconstrained`]).
    pub fn unconstrained() -> Self {
        let mut state =
            Self { is_unconstrained: true, num_people: 8, num_things: 3, items: [0, 1, 2], ..Self::initial() };
        state.characters = [0, 1, 2, 3, 4, 5, 6, 7];
        state.things[0].owner = CastMember::Owner as u8;
        state
    }

    /// Index into the cast of a person; beyond the cast if unset.
    pub fn person_index(&self, member: CastMember) -> usize {
        if member == CastMember::Owner {
            let thing = self.things.get(usize::from(self.items[Item::X as usize]));
            return usize::from(thing.map_or(UNSET, |thing| thing.owner));
        }
        usize::from(self.characters[member as usize])
    }

    /// Index into the names of a person. Panics if the person is unset.
    pub fn name_index(&self, member: CastMember) -> usize {
        usize::from(self.cast[self.person_index(member)].name)
    }

    /// Gender of a person: 0 female, 1 male.
    pub fn gender(&self, member: CastMember) -> usize {
        gender(self.name_index(member))
    }

    /// Thing that `item` refers to. Panics if it is unset.
    pub fn thing(&self, item: Item) -> Thing {
        self.things[usize::from(self.items[item as usize])]
    }

    /// Value of a number.
    pub fn amount(&self, amount: Amount) -> u8 {
        match amount {
            Amount::N => self.n,
            Amount::M => self.m,
            Amount::Difference => self.n.saturating_sub(self.m),
            Amount::ActorCount => self.actor_count,
        }
    }

    /// Whether somebody of the cast has the name.
    pub fn has_name(&self, name: usize) -> bool {
        self.cast.iter().any(|person| usize::from(person.name) == name)
    }

    /// Number of things that the person with a cast index owns.
    pub fn num_belongings(&self, index: usize) -> usize {
        self.things[..usize::from(self.num_things)].iter().filter(|thing| usize::from(thing.owner) == index).count()
    }

    /// Number of people who own something.
    pub fn num_owners(&self) -> usize {
        (0..usize::from(self.num_people)).filter(|&index| self.num_belongings(index) > 0).count()
    }

    /// Whether the hero wants to find something.
    pub fn has_goal(&self) -> bool {
        self.items[Item::Goal as usize] != UNSET
    }
}

/// Gender of a name by its index: 0 female, 1 male.
pub(crate) fn gender(name: usize) -> usize {
    debug_assert!(name < NAMES.len());
    name % 2
}
