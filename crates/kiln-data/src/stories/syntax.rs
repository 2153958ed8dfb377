//! From a sentence of the table to its parts.

use super::{
    lexicon::FREE,
    slot::{Filter, Part, Pronoun},
    state::{Amount, Item, Memory, Who},
};

/// The parts of a sentence, or what is wrong with it.
pub(crate) fn parts(sentence: &'static str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = sentence;
    while let Some((text, after)) = rest.split_once('{') {
        let (slot, after) = after.split_once('}').ok_or_else(|| format!("{sentence}: no closing brace"))?;
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        slot_parts(slot, &mut parts).ok_or_else(|| format!("{sentence}: unknown slot {{{slot}}}"))?;
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

fn slot_parts(slot: &'static str, out: &mut Vec<Part>) -> Option<()> {
    if let Some(part) = fixed(slot).or_else(|| word(slot)) {
        out.push(part);
        return Some(());
    }
    if let Some((item, tail)) = item(slot) {
        return thing(item, tail, out);
    }
    let who = Who::parse(slot.chars().next()?)?;
    out.push(person(who, &slot[1..])?);
    Some(())
}

/// Slots without an argument.
fn fixed(slot: &str) -> Option<Part> {
    Some(match slot {
        "time" => Part::Time,
        "girl" => Part::Newcomer,
        "days+" => Part::Days,
        "day+" => Part::Day,
        "r=ab" => Part::Idea,
        "s=1" => Part::Party(1),
        "s=2" => Part::Party(2),
        "s.They" => Part::They("They"),
        "s.they" => Part::They("they"),
        "n+" => Part::NewAmount(Amount::N, 1),
        "n++" => Part::NewAmount(Amount::N, 2),
        "m+" => Part::NewAmount(Amount::M, 1),
        "rest" => Part::Rest,
        _ => return None,
    })
}

/// Free words, agreeing forms and remembered words.
fn word(slot: &'static str) -> Option<Part> {
    if let Some(class) = slot.strip_prefix('#') {
        return FREE.iter().find(|(name, _)| *name == class).map(|(_, words)| Part::Free(words));
    }
    if let Some((amount, forms)) = slot.split_once('/') {
        let (one, many) = forms.split_once('/')?;
        return Some(Part::Plural(amount_of(amount)?, [one, many]));
    }
    if let Some(name) = slot.strip_suffix('+') {
        return memory(name).map(Part::New);
    }
    let (name, amount) = slot.split_once('.').unwrap_or((slot, "n"));
    Some(Part::Recall(memory(name)?, amount_of(amount)?))
}

fn amount_of(name: &str) -> Option<Amount> {
    Some(match name {
        "n" => Amount::N,
        "rest" => Amount::Rest,
        "s" => Amount::Party,
        _ => return None,
    })
}

fn memory(name: &str) -> Option<Memory> {
    Some(match name {
        "home" => Memory::Home,
        "p" => Memory::Place,
        "food" => Memory::Food,
        "weather" => Memory::Weather,
        "pastime" => Memory::Pastime,
        "animal" => Memory::Animal,
        "bake" => Memory::Bake,
        _ => return None,
    })
}

fn item(slot: &'static str) -> Option<(Item, &'static str)> {
    let item = match slot.as_bytes().first()? {
        b'x' => Item::X,
        b'y' => Item::Y,
        b'g' => Item::Goal,
        _ => return None,
    };
    Some((item, &slot[1..]))
}

fn thing(item: Item, tail: &str, out: &mut Vec<Part>) -> Option<()> {
    let who = || tail.chars().nth(1).map_or(Some(None), |letter| Who::parse(letter).map(Some));
    match tail.chars().next() {
        None => out.push(Part::Thing(item)),
        Some('+') => out.extend([Part::NewLook(item, who()?), Part::Text(" "), Part::NewNoun(item)]),
        Some('?') => out.push(Part::PickThing(item, who()?)),
        Some('>') => out.push(Part::Give(item, who()??)),
        Some(_) if tail == ".noun" => out.push(Part::Noun(item)),
        Some(_) => return None,
    }
    Some(())
}

fn person(who: Who, tail: &'static str) -> Option<Part> {
    if let Some(filter) = tail.strip_prefix(".role?") {
        return Some(Part::PickRole(who, Filter::parse(filter)?));
    }
    if let Some(filter) = tail.strip_prefix('?') {
        return Some(Part::Pick(who, Filter::parse(filter)?));
    }
    Some(match tail {
        "" => Part::Name(who),
        "+" => Part::Meet(who),
        ".role+" => Part::NewRole(who),
        pronoun => Part::Pronoun(who, Pronoun::parse(pronoun.strip_prefix('.')?)?),
    })
}

impl Who {
    fn parse(letter: char) -> Option<Self> {
        Some(match letter {
            'h' => Who::Hero,
            'f' => Who::Friend,
            'a' => Who::A,
            'b' => Who::B,
            'c' => Who::C,
            'd' => Who::D,
            'r' => Who::R,
            'o' => Who::Owner,
            _ => return None,
        })
    }
}

impl Pronoun {
    fn parse(male: &str) -> Option<Self> {
        let forms = match male {
            "he" => ["she", "he"],
            "He" => ["She", "He"],
            "him" => ["her", "him"],
            "his" => ["her", "his"],
            "His" => ["Her", "His"],
            _ => return None,
        };
        Some(Self { forms })
    }
}

impl Filter {
    fn parse(text: &str) -> Option<Self> {
        let (owns, text) = text.strip_prefix("own").map_or((false, text), |rest| (true, rest));
        let mut not = [None; 2];
        if !text.is_empty() {
            for (place, letter) in not.iter_mut().zip(text.strip_prefix('!')?.chars()) {
                *place = Some(Who::parse(letter)?);
            }
        }
        Some(Self { owns, not })
    }
}
