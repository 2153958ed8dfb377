//! Round trips through TOML and JSON, and the shortest form of choices.
use proptest::prelude::*;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct TwoChoices {
    part: Part,
    schedule: Schedule,
}

#[test]
fn a_choice_without_options_is_a_bare_word() {
    let attention = Attention { heads: 4, window: None };
    let value = TwoChoices { part: Part::Attention(attention), schedule: Schedule::Constant(NoOptions {}) };
    let text = to_toml(&value);
    assert_eq!(table(&text), table("part = { attention = { heads = 4 } }\nschedule = 'constant'"));
    assert_eq!(parse::<TwoChoices>(&text, None).unwrap(), value);
}

#[test]
fn a_bare_word_and_an_empty_table_have_default_options() {
    let schedule = |text: &str| sample(&format!("name = 'a'\n{text}")).unwrap().schedule;
    let defaults = Schedule::Cosine(Cosine::default());
    assert_eq!(schedule("schedule = 'cosine'"), defaults);
    assert_eq!(schedule("schedule = { cosine = {} }"), defaults);
    assert_eq!(schedule("[schedule.cosine]\nwarmup = 10"), defaults);
    assert_eq!(schedule("schedule = 'constant'"), Schedule::Constant(NoOptions {}));
    assert_eq!(schedule(""), cosine());
}

#[test]
fn names_are_in_declaration_order() {
    assert_eq!(Schedule::NAMES, ["cosine", "linear", "constant"]);
    assert_eq!(Schedule::Linear(Linear { floor: 0.0, warmup: 0 }).name(), "linear");
}

#[test]
fn json_reads_and_writes_the_same_forms() {
    let json = r#"["gated",{"attention":{"heads":2}},{"both":["gated"]}]"#;
    let parts: Vec<Part> = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&parts).unwrap(), json);
    assert_eq!(parts[2], Part::Both(vec![Part::Gated(NoOptions {})]));
}

#[test]
fn another_macro_can_define_choices_with_doc_comments() {
    macro_rules! both {
        ($(#[doc = $about:literal])* $Config:ident {
            $($(#[doc = $doc:literal])* $name:literal => $Type:ident($Inner:ty)),+
        }) => {
            crate::choice! { $(#[doc = $about])* pub enum $Config { $($(#[doc = $doc])* $name => $Type($Inner)),+ } }
            pub const COUNT: usize = [$($name),+].len();
        };
    }
    trait HasConfig {
        type Config;
    }
    impl HasConfig for u8 {
        type Config = Cosine;
    }
    both! {
        /// Made by another.
        Made {
            /// First.
            "a" => A(<u8 as HasConfig>::Config),
            "b" => B(NoOptions)
        }
    }
    assert_eq!(COUNT, Made::NAMES.len());
    let schema = schema_for!(Made).to_value();
    assert_eq!(schema["description"], "Made by another.");
    assert_eq!(schema["oneOf"][1]["description"], "First.");
    assert_eq!(schema["oneOf"][0]["enum"], serde_json::json!(["a", "b"]));
}

fn parts() -> impl Strategy<Value = Part> {
    let attention = (1..9u32, proptest::option::of(0..5u32)).prop_map(|(heads, window)| Attention { heads, window });
    let leaf = prop_oneof![Just(Part::Gated(NoOptions {})), attention.prop_map(Part::Attention)];
    leaf.prop_recursive(3, 12, 3, |inner| proptest::collection::vec(inner, 0..3).prop_map(Part::Both))
}

fn schedules() -> impl Strategy<Value = Schedule> {
    // Eighths, because a JSON parser may round a decimal fraction.
    let floor = || (0..8u8).prop_map(|eighths| f64::from(eighths) / 8.0);
    let cosine = (floor(), 0..9u32).prop_map(|(floor, warmup)| Schedule::Cosine(Cosine { floor, warmup }));
    let linear = (floor(), 0..9u32).prop_map(|(floor, warmup)| Schedule::Linear(Linear { floor, warmup }));
    prop_oneof![cosine, linear, Just(Schedule::Constant(NoOptions {}))]
}

fn samples() -> impl Strategy<Value = Sample> {
    let block = (1..4u32, proptest::collection::vec(parts(), 0..3)).prop_map(|(repeat, parts)| Block { repeat, parts });
    let notes = proptest::collection::btree_map("[a-z .=]{1,5}", any::<bool>(), 0..3);
    ("\\PC{0,9}", schedules(), proptest::collection::vec(block, 0..3), notes)
        .prop_map(|(name, schedule, blocks, notes)| Sample { name, schedule, blocks, notes })
}

proptest! {
    #[test]
    fn any_configuration_round_trips_through_toml_and_json(written in samples()) {
        prop_assert_eq!(&sample(&to_toml(&written)).unwrap(), &written);
        let json = serde_json::to_string(&written).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Sample>(&json).unwrap(), &written);
    }

    #[test]
    fn any_number_round_trips_through_toml_exactly(floor in any::<f64>().prop_filter("a number", |x| !x.is_nan())) {
        let written = Linear { floor, warmup: 0 };
        prop_assert_eq!(parse::<Linear>(&to_toml(&written), None).unwrap().floor.to_bits(), floor.to_bits());
    }

    #[test]
    fn a_complete_configuration_over_another_is_itself_except_for_open_tables(parent in samples(), child in samples()) {
        let layer = |sample: &Sample| LayeredConfig::new(&to_toml(sample), None).unwrap();
        let mut merged: Sample = layer(&child).with_parent(&schema(), layer(&parent)).deserialize().unwrap();
        let mut notes = parent.notes;
        notes.extend(child.notes.clone());
        prop_assert_eq!(&merged.notes, &notes);
        merged.notes = child.notes.clone();
        prop_assert_eq!(merged, child);
    }
}
