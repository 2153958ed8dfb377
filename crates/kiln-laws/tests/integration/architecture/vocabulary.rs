//! The vocabulary of CONTRIBUTING.md holds: names that were replaced by the field's words, and phrases that say nothing,
//! stay out of items, documentation and messages.

use super::sources;
use std::path::Path;

/// Names that no item may have, and the word that replaced them.
const REPLACED_NAMES: &[(&str, &str)] = &[
    ("Around", "BuildContext"),
    ("Cx", "Context"),
    ("Mark", "TokenMark"),
    ("Marks", "TokenMarks"),
    ("Keep", "CachePolicy"),
    ("Deep", "DepthRule"),
    ("Join", "NormPlacement"),
    ("Positional", "PositionEncoding"),
    ("Project", "Projection"),
    ("Adapt", "Adapter"),
    ("Forward", "Layer"),
    ("Kept", "RecurrentState, OptimizerState, SavedTensors"),
    ("Turn", "RowPermutation"),
    ("Turns", "RotaryTable, ChatTurns"),
    ("turned", "transposed, rotated"),
    ("bend", "softcap"),
    ("unbend", "softcap_backward"),
    ("soften", "softmax_row"),
    ("Sixteen", "F32x16"),
    ("uppers", "load_bf16"),
    ("less", "sub"),
    ("above", "or_shl"),
    ("Reading", "PrefixCache"),
    ("goes_on", "extends"),
    ("unspelt", "unencodable"),
    ("Tie", "Binding"),
    ("Cut", "Slice"),
    ("Form", "TensorLayout, LatentForm"),
    ("tell", "emit"),
    ("figures", "step_metrics"),
    ("finite", "check_finite"),
    ("Place", "ModelSource, Location"),
    ("Measure", "LossKind"),
    ("says", "summary"),
    ("about", "description"),
    ("Rule", "UpdateRule"),
    ("Update", "ParamUpdate"),
    ("Specials", "SpecialTokens"),
    ("Entry", "KeyValue"),
    ("Read", "QueryKeyValue"),
    ("Look", "InspectPage"),
    ("Inside", "AttentionReport"),
    ("Together", "PatchSet"),
    ("Guess", "TopToken"),
    ("Trouble", "CliError"),
    ("told", "report"),
    ("Held", "PackedWeight, EvalSet"),
    ("Sight", "BlockMask"),
    ("sighted", "has_visible_key"),
    ("Fill", "TileCoverage"),
    ("Beside", "AttachedAdapter"),
    ("How", "AttentionParams"),
    ("Reach", "DistanceRange"),
    ("Sides", "AttentionInputs"),
    ("Terms", "ScoreTerms"),
    ("own_place", "graph_barrier"),
    ("deepened", "pad_graph_depth"),
    ("Again", "RecomputeBlock"),
    ("Pull", "Vjp"),
    ("torn", "streaming_mismatch"),
    ("unheard", "lost_in_template"),
    ("grows", "is_prefix_stable"),
    ("misplaced", "bad_offsets"),
    ("Usage", "GenerationMode"),
    ("Opening", "PromptFormat"),
    ("writes", "generates"),
    ("fills", "infills"),
    ("teach", "predictor_loss"),
    ("picked", "select_train"),
    ("decided", "select_infer"),
    ("weighed", "apply_gate"),
    ("apart", "config_diff"),
    ("differences", "config_diff"),
    ("Happening", "EventKind"),
    ("News", "ProgressEvent"),
    ("Watch", "ProgressListener"),
    ("Carried", "GgufTokenizer"),
    ("Cleaning", "TextCleanup"),
    ("Moment", "TemplateClock"),
    ("Room", "DiskSpace"),
    ("Sealed", "HashedFile"),
    ("Pointer", "CheckpointPointer"),
    ("Flaw", "CheckpointError"),
    ("Draws", "RngKey"),
    ("Added", "AuxiliaryLoss"),
    ("Sink", "GradientSink"),
    ("Refusal", "ValidationError"),
    ("Unfit", "Incompatible"),
    ("Making", "BatchFuture"),
    ("Spell", "TokenText"),
    ("Nothing", "NoOptions"),
];

/// Names that no item may have: a reader has to guess what they hold.
const VAGUE_NAMES: &[&str] = &[
    "alone",
    "anew",
    "apiece",
    "arrive",
    "as_it_was",
    "ask",
    "asked",
    "asks",
    "beats",
    "begun",
    "behind",
    "belongings",
    "beside",
    "beside_compressor",
    "beside_floor",
    "between",
    "calm",
    "carried",
    "chooses_anew",
    "close_up",
    "deaf_in_company",
    "drawn",
    "eights",
    "elsewhere",
    "endless",
    "eventful",
    "everywhere",
    "farthest",
    "foreseeing",
    "forgetful",
    "fours",
    "gentle",
    "guess",
    "guesses",
    "harmless",
    "held",
    "hides",
    "hold",
    "holds",
    "judge",
    "judged",
    "jumps",
    "kept",
    "knows",
    "lift",
    "likeliest",
    "listened",
    "listening",
    "loud",
    "lying",
    "middling",
    "moves_most",
    "new_thing",
    "nobody_sees",
    "nothing_is_given_away",
    "octets",
    "ones",
    "owned",
    "prominence",
    "quietly",
    "remembered",
    "remembering",
    "restless",
    "said",
    "saved_by",
    "say",
    "seen",
    "shown",
    "sight",
    "sixes",
    "soon",
    "spill",
    "spilling",
    "stands",
    "stretch",
    "surround",
    "sweep",
    "talk",
    "things",
    "tidy",
    "timely",
    "twos",
    "uncarried",
    "undecided",
    "unfilled",
    "unfit",
    "unmet",
    "unread",
    "unspell",
    "untrained",
    "unturned",
    "wanted",
    "way_on",
    "where_it_began",
    "within",
];

/// Phrases that no documentation and no message may have, in lower case.
const VAGUE_PHRASES: &[&str] = &[
    "what can't be",
    "what cannot be",
    "goes on",
    "go on with",
    "as it was",
    "as they were",
    "whoever",
    "writes on",
    "names all random numbers",
    "is told",
    "are told",
    "stands beside",
    "stand beside",
    "stands around",
    "lies beside",
    "says of itself",
    "what is asked",
    "what stands",
    "what lies",
    "unasked",
    "as often as wanted",
    "beside it",
    "on its way",
    "by heart",
];

/// The name of the item that a line declares.
fn item_name(line: &str) -> Option<&str> {
    const KINDS: [&str; 9] = ["fn", "struct", "enum", "trait", "mod", "const", "type", "static", "macro_rules!"];
    let mut words = line.split_whitespace().skip_while(|word| {
        word.starts_with("pub") || ["async", "unsafe"].contains(word) || (*word == "const" && line.contains(" fn "))
    });
    let kind = words.next()?;
    let name = words.next().filter(|_| KINDS.contains(&kind))?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    Some(&name[..end]).filter(|name| !name.is_empty())
}

/// What a line says to people: its documentation, or its string literals.
fn texts(line: &str) -> Vec<&str> {
    let line = line.trim_start();
    if let Some(documentation) = line.strip_prefix("///").or(line.strip_prefix("//!")) {
        return vec![documentation];
    }
    if line.starts_with("//") { Vec::new() } else { line.split('"').skip(1).step_by(2).collect() }
}

/// Every line of the crates' library code with its file and number, tests apart.
fn library_lines() -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (path, text) in super::manifest_graph().into_keys().flat_map(|name| sources(&name)) {
        if is_test_file(&path) {
            continue;
        }
        let library = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let location = |number: usize| format!("{}:{}", path.display(), number + 1);
        lines.extend(library.lines().enumerate().map(|(number, line)| (location(number), line.to_string())));
    }
    lines
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_stem().is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
}

/// The name of a line's item if it is retired, with what to use.
fn retired_name(line: &str) -> Option<String> {
    let name = item_name(line)?;
    let replaced = REPLACED_NAMES.iter().find(|(old, _)| *old == name);
    let replaced = replaced.map(|(old, new)| format!("`{old}` was replaced by {new}"));
    replaced.or_else(|| VAGUE_NAMES.contains(&name).then(|| format!("`{name}` does not say what it holds")))
}

/// The phrases of a line's texts that say nothing.
fn vague_phrases(line: &str) -> Vec<&'static str> {
    let texts: Vec<String> = texts(line).into_iter().map(str::to_lowercase).collect();
    let occurs = |phrase: &&&str| texts.iter().any(|text| contains_words(text, phrase));
    VAGUE_PHRASES.iter().filter(occurs).copied().collect()
}

/// Whether a phrase occurs in a text, not as a part of longer words.
fn contains_words(text: &str, phrase: &str) -> bool {
    let is_boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(phrase).any(|(start, _)| {
        is_boundary(text[..start].chars().next_back()) && is_boundary(text[start + phrase.len()..].chars().next())
    })
}

#[test]
fn items_have_the_names_of_the_field() {
    let found: Vec<_> = library_lines()
        .into_iter()
        .filter_map(|(location, line)| retired_name(&line).map(|reason| format!("{location}: {reason}")))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn documentation_and_messages_use_plain_phrases() {
    let mut found = Vec::new();
    for (location, line) in library_lines() {
        found.extend(
            vague_phrases(&line).into_iter().map(|phrase| format!("{location}: \"{phrase}\": {}", line.trim())),
        );
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn retired_names_and_phrases_are_seen() {
    let lines = [
        "    pub(crate) const fn goes_on(&self) -> bool {",
        "pub struct Around<'a> {",
        "    fn told();",
        "const HELD: u8 = 1;",
    ];
    assert_eq!(lines.map(|line| retired_name(line).is_some()), [true, true, true, false]);
    assert_eq!(item_name("pub const fn extends("), Some("extends"));
    assert_eq!(item_name("pub async fn generate<T>("), Some("generate"));
    assert_eq!(item_name("    pub const NAME: u8 = 0;"), Some("NAME"));
    assert_eq!(item_name("    let held = 1;"), None);
    assert_eq!(vague_phrases("    /// Refuses what can't be."), ["what can't be"]);
    assert_eq!(vague_phrases("    #[error(\"the run goes on\")]"), ["goes on"]);
    assert_eq!(vague_phrases("    error(\"the forego on\");"), [""; 0]);
    assert_eq!(vague_phrases("    // a comment: whoever"), [""; 0]);
}
