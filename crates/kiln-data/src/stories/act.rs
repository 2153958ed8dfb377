//! What sentences do in a story.

/// What a sentence does in the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    Start,
    Open,
    Home,
    Role,
    Own,
    Friend,
    FriendOwn,
    Neighbour,
    NeighbourOwn,
    Goal,
    Journey,
    Day,
    Remind,
    Walk,
    Scene,
    See,
    Creatures,
    Feed,
    Eat,
    Rest,
    Lose,
    Seek,
    Tell,
    Search,
    Find,
    Relief,
    Give,
    Swap,
    Belong,
    Who,
    Answer,
    Witness,
    Borrow,
    Return,
    Bake,
    Share,
    Left,
    Storm,
    Shelter,
    Wait,
    Meet,
    Show,
    Praise,
    Need,
    Help,
    Sit,
    Idea,
    Suggest,
    Play,
    Mood,
    Success,
    HomeAgain,
    Close,
    Keep,
    Moral,
    End,
}

impl Act {
    /// Every act that has sentences.
    pub fn all() -> impl Iterator<Item = Act> {
        super::lines::all().map(|(act, _)| act)
    }

    /// Whether an episode begins with it.
    pub fn begins_episode(self) -> bool {
        use Act::*;
        matches!(self, Walk | Lose | Give | Swap | Who | Bake | Storm | Meet | Need | Sit)
    }
}
