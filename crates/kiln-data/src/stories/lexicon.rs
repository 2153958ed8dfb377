//! Lexicon: the words of the grammar by class, in order of decreasing frequency.
//!
//! The `i`-th word of a class has weight 1/(i + 8), a flattened Zipf distribution: the first of 16 words is about three
//! times as frequent as the last. Changing, adding or reordering words changes every story.

/// Unnormalized weight of the `i`-th word of a class.
pub(crate) fn word_weight(i: usize) -> f64 {
    1.0 / (i as f64 + 8.0)
}

/// Entry without its article: "a baker" becomes "baker".
pub(crate) fn without_article(entry: &'static str) -> &'static str {
    entry.split_once(' ').map_or(entry, |(_, word)| word)
}

/// Names: female at even indices, male at odd ones.
#[rustfmt::skip]
pub(crate) const NAMES: &[&str] = &[
    "Mia", "Tom", "Anna", "Ben", "Lily", "Sam", "Rosa", "Max", "Clara", "Leo", "Nora", "Jack", "Emma", "Hugo", "Ruby",
    "Finn", "Ida", "Oscar", "Ella", "Peter", "Grace", "Adam", "Zoe", "Noah", "Vera", "Karl", "Alma", "Felix", "Maya",
    "Omar", "Jane", "Otto",
];

/// Occupations, with the article.
#[rustfmt::skip]
pub(crate) const ROLES: &[&str] = &[
    "a baker", "a farmer", "a sailor", "a miller", "a teacher", "a painter", "a doctor", "a singer", "an artist",
    "a gardener", "a shepherd", "a tailor", "an inventor", "a hunter", "an actor", "a cook",
];

/// Adjectives of things, with the article.
#[rustfmt::skip]
pub(crate) const ADJECTIVES: &[&str] = &[
    "a red", "a blue", "a small", "an old", "a green", "a golden", "a white", "a silver", "a heavy", "a yellow", "an odd",
    "a black", "a wooden", "an orange",
];

/// Things that people own.
#[rustfmt::skip]
pub(crate) const THINGS: &[&str] = &[
    "kite", "drum", "hat", "book", "ball", "boat", "lamp", "ring", "bell", "flute", "map", "key", "coat", "cup", "basket",
    "clock", "mirror", "box", "scarf", "knife", "ladder", "crown", "doll", "whistle",
];

/// Locations that people visit.
#[rustfmt::skip]
pub(crate) const LOCATIONS: &[&str] = &[
    "river", "mill", "market", "forest", "bridge", "lake", "garden", "harbour", "hill", "well", "meadow", "tower", "barn",
    "beach", "woods", "school", "cave", "inn", "docks", "ruins",
];

/// Homes.
pub(crate) const HOMES: &[&str] = &["village", "town", "valley", "castle", "city", "cottage"];

/// Animals, singular and plural.
#[rustfmt::skip]
pub(crate) const ANIMALS: &[(&str, &str)] = &[
    ("duck", "ducks"), ("bird", "birds"), ("goat", "goats"), ("rabbit", "rabbits"), ("cat", "cats"), ("dog", "dogs"),
    ("horse", "horses"), ("fox", "foxes"), ("goose", "geese"), ("mouse", "mice"), ("lamb", "lambs"),
];

/// Baked goods, singular and plural.
#[rustfmt::skip]
pub(crate) const BAKED_GOODS: &[(&str, &str)] = &[
    ("cake", "cakes"), ("pie", "pies"), ("loaf", "loaves"), ("biscuit", "biscuits"), ("bun", "buns"), ("tart", "tarts"),
];

/// Food for animals.
pub(crate) const FOODS: &[&str] = &["bread", "corn", "grass", "milk", "cheese", "hay", "rice", "fruit"];

/// Weather, as noun and verb.
pub(crate) const WEATHERS: &[&str] = &["rain", "snow", "hail"];

/// Activities of friends, in the infinitive and in the past tense.
#[rustfmt::skip]
pub(crate) const PASTIMES: &[(&str, &str)] = &[
    ("sing a song", "sang a song"), ("play a game", "played a game"), ("tell stories", "told stories"),
    ("count the stars", "counted the stars"), ("draw a map", "drew a map"), ("build a raft", "built a raft"),
    ("dance", "danced"), ("pick flowers", "picked flowers"), ("write a letter", "wrote a letter"),
];

/// Number words: the word for `n` is at index n - 1.
pub(crate) const NUMBER_WORDS: &[&str] = &["one", "two", "three", "four", "five", "six"];

/// Ordinals: the word for day `d` is at index d - 1.
pub(crate) const ORDINALS: &[&str] = &["first", "second", "third", "fourth", "fifth", "sixth"];

/// Nouns for an unnamed person, with their gender (0 female, 1 male).
pub(crate) const GENDER_NOUNS: &[(&str, u8)] = &[("girl", 0), ("boy", 1), ("woman", 0), ("man", 1)];

/// Time phrases at the start of an episode, with their hour: 1 to 4 during the day, 0 at any time, 5 on the next day.
#[rustfmt::skip]
pub(crate) const TIME_PHRASES: &[(&str, u8)] = &[
    ("In the morning", 1), ("Soon", 0), ("Later", 0), ("At noon", 2), ("In the afternoon", 3), ("After a while", 0),
    ("In the evening", 4), ("The next morning", 5), ("Before long", 0),
];

/// Free word classes by the name that templates use (`{#trait}`): nothing else depends on the chosen word.
#[rustfmt::skip]
pub(crate) const FREE_CLASSES: &[(&str, &[&str])] = &[
    ("trait", &[
        "a kind", "a brave", "a young", "a clever", "a shy", "a cheerful", "a poor", "an honest", "a quiet",
        "a curious", "a gentle", "a proud", "a lonely", "an eager",
    ]),
    ("hobby", &[
        "music", "old songs", "flowers", "the sea", "good stories", "the stars", "warm bread", "long walks", "birds",
        "quiet evenings",
    ]),
    ("went", &[
        "walked", "went", "ran", "hurried", "wandered", "rode", "strolled", "rushed", "marched",
    ]),
    ("saw", &["saw", "found", "noticed", "watched", "met"]),
    ("old", &[
        "old", "quiet", "little", "dark", "busy", "sunny", "small", "green", "cold", "warm", "white", "strange",
        "lovely", "bright", "grey", "wild",
    ]),
    ("fair", &[
        "quiet", "little", "busy", "sunny", "small", "green", "cold", "warm", "white", "lovely", "bright",
        "grey", "wild", "poor",
    ]),
    ("little", &[
        "little", "young", "brown", "white", "wild", "grey", "old", "black", "quiet", "curious", "lonely", "gentle",
    ]),
    ("fresh", &[
        "fresh", "good", "warm", "sweet", "dry", "soft", "fine", "cold", "white", "brown",
    ]),
    ("where", &[
        "by the road", "in the grass", "near the water", "under a tree", "behind a fence", "in the mud",
        "beside a cart", "on the path", "between two rocks", "on a wall", "behind a wall", "under a cart",
    ]),
    ("needy", &["hungry", "thirsty", "cold", "tired", "poor", "weak"]),
    ("scared", &["lost", "frightened", "wet", "alone", "angry", "sad"]),
    ("stood", &["slept", "rested", "waited", "stood", "sat"]),
    ("ly", &["slowly", "quickly", "quietly", "happily", "gently", "bravely", "kindly", "proudly"]),
    ("easy", &["easy", "hard", "short", "dark", "cold", "steep"]),
    ("left", &["ran", "hopped", "went", "hurried", "jumped"]),
    ("hidden", &[
        "under a stone", "behind a door", "in a barrel", "under a bench", "on the path", "in the grass",
        "on a shelf", "between two rocks", "under a tree", "behind a wall", "beside a cart", "in the mud",
    ]),
    ("felt", &["happy", "glad", "proud", "surprised", "thankful", "cheerful", "merry", "hopeful", "pleased"]),
    ("worn", &["tired", "hungry", "quiet", "calm", "sleepy", "warm", "thirsty"]),
    ("pleased", &["happy", "glad", "pleased", "proud"]),
    ("how", &[
        "slowly", "quickly", "quietly", "happily", "with great joy", "in silence", "carefully", "gently", "at once",
        "bravely", "eagerly", "with a smile", "with care", "with pride",
    ]),
    ("voice", &[
        "softly", "kindly", "quietly", "with a smile", "at once", "slowly", "happily", "gently", "bravely",
        "proudly", "with a sigh",
    ]),
    ("rested", &[
        "rested", "talked", "sang", "slept", "waited", "laughed", "worked", "danced", "played",
    ]),
    ("praised", &[
        "beautiful", "wonderful", "lovely", "very fine", "strange", "useful", "too big", "very old", "too heavy",
        "bright",
    ]),
    ("made", &["baked", "made", "bought", "brought"]),
    ("repaired", &["mended", "fixed", "cleaned", "painted", "opened", "moved"]),
    ("part", &["roof", "door", "wall", "window", "wagon", "fence", "wheel", "chimney"]),
    ("clever", &["a good", "a clever", "an odd", "a new", "a merry"]),
    ("kept", &["on a shelf", "by the door", "on the table", "beside the bed"]),
    ("dark", &["dark", "grey", "black"]),
    ("coin", &["silver", "golden", "old", "new"]),
    ("waved", &["waved", "smiled", "waited", "sang", "stopped"]),
    ("spot", &["fire", "window", "table", "old oak", "stream", "wall"]),
    ("said", &["said", "called", "cried"]),
    ("replied", &["said", "answered", "replied"]),
    ("asked", &["asked", "cried", "called"]),
    ("good", &[
        "good", "long", "fine", "strange", "quiet", "merry", "busy", "lovely", "warm", "bright",
    ]),
    ("sky", &["sun", "wind", "air", "sky"]),
    ("warm", &["warm", "cold", "soft", "clear", "grey", "bright"]),
    ("dear", &["best", "oldest", "closest", "dearest"]),
    ("until", &["until night", "until dark", "for an hour", "until the moon rose", "all day", "until noon"]),
    ("wanted", &["wanted", "hoped", "wished", "planned"]),
    ("bonded", &["good friends", "never apart", "known to all", "like family"]),
];

/// All entries of all classes, some of which consist of several words.
pub(crate) fn all_words() -> impl Iterator<Item = &'static str> {
    let plain = [NAMES, ROLES, ADJECTIVES, THINGS, LOCATIONS, HOMES, FOODS, WEATHERS, NUMBER_WORDS, ORDINALS];
    let pairs = [ANIMALS, BAKED_GOODS, PASTIMES].into_iter().flatten().flat_map(|(one, many)| [*one, *many]);
    let coded = GENDER_NOUNS.iter().chain(TIME_PHRASES).map(|(word, _)| *word);
    let free = FREE_CLASSES.iter().flat_map(|(_, list)| list.iter().copied());
    plain.into_iter().flatten().copied().chain(pairs).chain(coded).chain(free)
}
