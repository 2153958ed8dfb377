//! Kinds of sentences: the nodes of the plot.

/// Kind of a sentence: its function in the story. The order of the variants is the index into the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SentenceKind {
    /// State before the first sentence; has no templates.
    Start,
    /// Introduces the hero, and in some templates the home.
    Open,
    /// Names the home, if `Open` did not.
    Home,
    /// The hero's role.
    Role,
    /// The hero's things.
    HeroOwns,
    /// Introduces the friend with a role.
    Friend,
    /// The friend's things.
    FriendOwns,
    /// Introduces a neighbor with a role.
    Neighbor,
    /// The neighbor's thing.
    NeighborOwns,
    /// The hero wants to find a thing.
    Goal,
    /// Hero and friend set out for three to six days to find a thing.
    Journey,
    /// A day of the journey begins.
    Day,
    /// The goal of the journey is mentioned again.
    Remind,
    /// Episode "walk": one or two people go to a location.
    Walk,
    /// Walk: what the location is like.
    Scene,
    /// Walk: the people see animals.
    SeeAnimals,
    /// Walk: what the animals need.
    DescribeAnimals,
    /// Walk: the people feed the animals.
    Feed,
    /// Walk: the animals eat and leave.
    Eat,
    /// Walk: the people rest.
    Rest,
    /// Episode "lost thing": an owner loses a thing.
    Lose,
    /// Lost thing: the owner asks somebody about it.
    Seek,
    /// Lost thing: the other person names a location.
    TellLocation,
    /// Lost thing: both go there.
    Search,
    /// Lost thing: it is found.
    Find,
    /// Lost thing: the owner is glad (optional).
    Relief,
    /// Episode "gift": an owner gives or sells a thing.
    Give,
    /// Episode "trade": two owners exchange things.
    Swap,
    /// Gift or trade: who owns the thing now.
    StateOwner,
    /// Episode "question": somebody asks who has a thing.
    AskOwner,
    /// Question: the owner answers.
    Answer,
    /// Question: a third person answers.
    Witness,
    /// Question: the thing is lent (optional).
    Borrow,
    /// Question: the thing is given back.
    Return,
    /// Episode "baking": somebody makes a number of baked goods.
    Bake,
    /// Baking: some of them are given away.
    Share,
    /// Baking: how many are left, a subtraction.
    CountLeftover,
    /// Episode "weather": bad weather begins.
    Storm,
    /// Weather: two people go to a shelter.
    Shelter,
    /// Weather: they wait for the end.
    Wait,
    /// Episode "stranger": somebody meets a new person.
    Meet,
    /// Stranger: the new person has a thing.
    Show,
    /// Stranger: the thing is praised.
    Praise,
    /// Episode "help": somebody looks for a person by role.
    NeedHelp,
    /// Help: that person comes and helps.
    Help,
    /// Episode "idea": two people sit together.
    Sit,
    /// Idea: one of them has an idea.
    Idea,
    /// Idea: the proposal.
    Suggest,
    /// Idea: they carry it out.
    Play,
    /// Mood at the end of an episode (optional).
    Mood,
    /// The hero finds the goal.
    Success,
    /// The way home.
    HomeAgain,
    /// Last or last but one sentence of the story.
    Close,
    /// The same with a thing that the hero still owns.
    KeepThing,
    /// Last sentence (optional).
    Moral,
    /// End of the story; has no templates.
    End,
}

impl SentenceKind {
    /// All kinds that have templates, in the order of the tables.
    pub fn all() -> impl Iterator<Item = SentenceKind> {
        super::templates::all_templates().map(|(kind, _)| kind)
    }

    /// Whether an episode begins with a sentence of this kind.
    pub fn begins_episode(self) -> bool {
        use SentenceKind::*;
        matches!(self, Walk | Lose | Give | Swap | AskOwner | Bake | Storm | Meet | NeedHelp | Sit)
    }
}
