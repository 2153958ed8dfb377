//! From a sentence of the table to its parts.

use super::{
    lexicon::FREE_CLASSES,
    slot::{Filter, Pronoun, TemplatePart},
    state::{Amount, CastMember, Item, WordClass},
};

/// The parts of a sentence, or what is wrong with it.
pub(crate) fn parse_template(sentence: &'static str) -> Result<Vec<TemplatePart>, String> {
    let mut parts = Vec::new();
    let mut rest = sentence;
    while let Some((text, after)) = rest.split_once('{') {
        let (slot, after) = after.split_once('}').ok_or_else(|| format!("{sentence}: no closing brace"))?;
        if !text.is_empty() {
            parts.push(TemplatePart::Text(text));
        }
        parse_slot(slot, &mut parts).ok_or_else(|| format!("{sentence}: unknown slot {{{slot}}}"))?;
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(TemplatePart::Text(rest));
    }
    Ok(parts)
}

fn parse_slot(slot: &'static str, out: &mut Vec<TemplatePart>) -> Option<()> {
    if let Some(part) = parse_fixed(slot).or_else(|| parse_word(slot)) {
        out.push(part);
        return Some(());
    }
    if let Some((item, tail)) = parse_item(slot) {
        return parse_thing(item, tail, out);
    }
    let who = CastMember::parse(slot.chars().next()?)?;
    out.push(parse_person(who, &slot[1..])?);
    Some(())
}

/// Slots without an argument.
fn parse_fixed(slot: &str) -> Option<TemplatePart> {
    Some(match slot {
        "time" => TemplatePart::Time,
        "girl" => TemplatePart::GenderNoun,
        "days+" => TemplatePart::NewDays,
        "day+" => TemplatePart::NextDay,
        "r=ab" => TemplatePart::PickIdeaOwner,
        "s=1" => TemplatePart::SetActorCount(1),
        "s=2" => TemplatePart::SetActorCount(2),
        "s.They" => TemplatePart::SubjectPronoun("They"),
        "s.they" => TemplatePart::SubjectPronoun("they"),
        "n+" => TemplatePart::NewAmount(Amount::N, 1),
        "n++" => TemplatePart::NewAmount(Amount::N, 2),
        "m+" => TemplatePart::NewAmount(Amount::M, 1),
        "rest" => TemplatePart::Rest,
        _ => return None,
    })
}

/// Free words, agreeing forms and remembered words.
fn parse_word(slot: &'static str) -> Option<TemplatePart> {
    if let Some(class) = slot.strip_prefix('#') {
        return FREE_CLASSES.iter().find(|(name, _)| *name == class).map(|(_, words)| TemplatePart::FreeWord(words));
    }
    if let Some((amount, forms)) = slot.split_once('/') {
        let (one, many) = forms.split_once('/')?;
        return Some(TemplatePart::Plural(parse_amount(amount)?, [one, many]));
    }
    if let Some(name) = slot.strip_suffix('+') {
        return parse_word_class(name).map(TemplatePart::NewWord);
    }
    let (name, amount) = slot.split_once('.').unwrap_or((slot, "n"));
    Some(TemplatePart::RecallWord(parse_word_class(name)?, parse_amount(amount)?))
}

fn parse_amount(name: &str) -> Option<Amount> {
    Some(match name {
        "n" => Amount::N,
        "rest" => Amount::Difference,
        "s" => Amount::ActorCount,
        _ => return None,
    })
}

fn parse_word_class(name: &str) -> Option<WordClass> {
    Some(match name {
        "home" => WordClass::Home,
        "p" => WordClass::Location,
        "food" => WordClass::Food,
        "weather" => WordClass::Weather,
        "pastime" => WordClass::Pastime,
        "animal" => WordClass::Animal,
        "bake" => WordClass::BakedGood,
        _ => return None,
    })
}

fn parse_item(slot: &'static str) -> Option<(Item, &'static str)> {
    let item = match slot.as_bytes().first()? {
        b'x' => Item::X,
        b'y' => Item::Y,
        b'g' => Item::Goal,
        _ => return None,
    };
    Some((item, &slot[1..]))
}

fn parse_thing(item: Item, tail: &str, out: &mut Vec<TemplatePart>) -> Option<()> {
    let who = || tail.chars().nth(1).map_or(Some(None), |letter| CastMember::parse(letter).map(Some));
    match tail.chars().next() {
        None => out.push(TemplatePart::Thing(item)),
        Some('+') => {
            out.extend([TemplatePart::NewAdjective(item, who()?), TemplatePart::Text(" "), TemplatePart::NewNoun(item)])
        }
        Some('?') => out.push(TemplatePart::PickThing(item, who()?)),
        Some('>') => out.push(TemplatePart::Transfer(item, who()??)),
        Some(_) if tail == ".noun" => out.push(TemplatePart::Noun(item)),
        Some(_) => return None,
    }
    Some(())
}

fn parse_person(who: CastMember, tail: &'static str) -> Option<TemplatePart> {
    if let Some(filter) = tail.strip_prefix(".role?") {
        return Some(TemplatePart::PickRole(who, Filter::parse(filter)?));
    }
    if let Some(filter) = tail.strip_prefix('?') {
        return Some(TemplatePart::PickPerson(who, Filter::parse(filter)?));
    }
    Some(match tail {
        "" => TemplatePart::Name(who),
        "+" => TemplatePart::NewName(who),
        ".role+" => TemplatePart::NewRole(who),
        pronoun => TemplatePart::Pronoun(who, Pronoun::parse(pronoun.strip_prefix('.')?)?),
    })
}

impl CastMember {
    fn parse(letter: char) -> Option<Self> {
        Some(match letter {
            'h' => CastMember::Hero,
            'f' => CastMember::Friend,
            'a' => CastMember::A,
            'b' => CastMember::B,
            'c' => CastMember::C,
            'd' => CastMember::D,
            'r' => CastMember::IdeaOwner,
            'o' => CastMember::Owner,
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
                *place = Some(CastMember::parse(letter)?);
            }
        }
        Some(Self { must_own: owns, excluded: not })
    }
}
