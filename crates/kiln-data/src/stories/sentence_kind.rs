//! What sentences do in a story.

/// What a sentence does in the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SentenceKind {
    Start,
    Open,
    Home,
    Role,
    HeroOwns,
    Friend,
    FriendOwns,
    Neighbor,
    NeighborOwns,
    Goal,
    Journey,
    Day,
    Remind,
    Walk,
    Scene,
    SeeAnimals,
    DescribeAnimals,
    Feed,
    Eat,
    Rest,
    Lose,
    Seek,
    TellLocation,
    Search,
    Find,
    Relief,
    Give,
    Swap,
    StateOwner,
    AskOwner,
    Answer,
    Witness,
    Borrow,
    Return,
    Bake,
    Share,
    CountLeftover,
    Storm,
    Shelter,
    Wait,
    Meet,
    Show,
    Praise,
    NeedHelp,
    Help,
    Sit,
    Idea,
    Suggest,
    Play,
    Mood,
    Success,
    HomeAgain,
    Close,
    KeepThing,
    Moral,
    End,
}

impl SentenceKind {
    /// Every act that has sentences.
    pub fn all() -> impl Iterator<Item = SentenceKind> {
        super::templates::all_templates().map(|(act, _)| act)
    }

    /// Whether an episode begins with it.
    pub fn begins_episode(self) -> bool {
        use SentenceKind::*;
        matches!(self, Walk | Lose | Give | Swap | AskOwner | Bake | Storm | Meet | NeedHelp | Sit)
    }
}
