//! Template syntax: parses the sentences of the tables into parts. [`super::slot`] documents the slots.
//!
//! Parsing happens once per process, at first use. An error is a mistake in the built-in tables; a test parses all of
//! them.

use super::{
    lexicon::FREE_CLASSES,
    slot::{Filter, Pronoun, TemplatePart},
    state::{Amount, CastMember, Item, WordClass},
};

/// Parses a template.
///
/// # Errors
/// A message with the template and the slot that is unknown or not closed.
pub(crate) fn parse_template(template: &'static str) -> Result<Vec<TemplatePart>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        let (slot, after) = after.split_once('}').ok_or_else(|| format!("{template}: missing closing brace"))?;
        if !text.is_empty() {
            parts.push(TemplatePart::Text(text));
        }
        parse_slot(slot, &mut parts).ok_or_else(|| format!("{template}: unknown slot {{{slot}}}"))?;
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(TemplatePart::Text(rest));
    }
    Ok(parts)
}

/// Parses the text between braces and appends one or more parts.
fn parse_slot(slot: &'static str, out: &mut Vec<TemplatePart>) -> Option<()> {
    if let Some(part) = parse_fixed(slot).or_else(|| parse_word(slot)) {
        out.push(part);
        return Some(());
    }
    if let Some((item, tail)) = parse_item(slot) {
        return parse_thing(item, tail, out);
    }
    let member = CastMember::parse(slot.chars().next()?)?;
    out.push(parse_person(member, &slot[1..])?);
    Some(())
}

/// Slots that are fixed words.
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

/// Free words (`#class`), singular and plural forms (`n/was/were`), new (`p+`) and remembered (`p`, `bake.rest`) words.
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

/// Amounts by their name.
fn parse_amount(name: &str) -> Option<Amount> {
    Some(match name {
        "n" => Amount::N,
        "rest" => Amount::Difference,
        "s" => Amount::ActorCount,
        _ => return None,
    })
}

/// Word classes by their name.
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

/// Item at the start of a slot, and the rest of the slot.
fn parse_item(slot: &'static str) -> Option<(Item, &'static str)> {
    let item = match slot.as_bytes().first()? {
        b'x' => Item::X,
        b'y' => Item::Y,
        b'g' => Item::Goal,
        _ => return None,
    };
    Some((item, &slot[1..]))
}

/// Slots of a thing: `tail` follows the letter of the item.
fn parse_thing(item: Item, tail: &str, out: &mut Vec<TemplatePart>) -> Option<()> {
    // The person after `+`, `?` or `>`: `Some(None)` if there is none, `None` if the letter is unknown.
    let member = || tail.chars().nth(1).map_or(Some(None), |letter| CastMember::parse(letter).map(Some));
    match tail.chars().next() {
        None => out.push(TemplatePart::Thing(item)),
        Some('+') => out.extend([
            TemplatePart::NewAdjective(item, member()?),
            TemplatePart::Text(" "),
            TemplatePart::NewNoun(item),
        ]),
        Some('?') => out.push(TemplatePart::PickThing(item, member()?)),
        Some('>') => out.push(TemplatePart::Transfer(item, member()??)),
        Some(_) if tail == ".noun" => out.push(TemplatePart::Noun(item)),
        Some(_) => return None,
    }
    Some(())
}

/// Slots of a person: `tail` follows the letter.
fn parse_person(member: CastMember, tail: &'static str) -> Option<TemplatePart> {
    if let Some(filter) = tail.strip_prefix(".role?") {
        return Some(TemplatePart::PickRole(member, Filter::parse(filter)?));
    }
    if let Some(filter) = tail.strip_prefix('?') {
        return Some(TemplatePart::PickPerson(member, Filter::parse(filter)?));
    }
    Some(match tail {
        "" => TemplatePart::Name(member),
        "+" => TemplatePart::NewName(member),
        ".role+" => TemplatePart::NewRole(member),
        pronoun => TemplatePart::Pronoun(member, Pronoun::parse(pronoun.strip_prefix('.')?)?),
    })
}

impl CastMember {
    /// Person by the letter of a slot.
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
    /// Pronoun by its male form.
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
    /// Filter from the text after `?`: `own`, then `!` and up to two letters of excluded people; both optional.
    fn parse(text: &str) -> Option<Self> {
        let (must_own, text) = text.strip_prefix("own").map_or((false, text), |rest| (true, rest));
        let mut excluded = [None; 2];
        if !text.is_empty() {
            for (entry, letter) in excluded.iter_mut().zip(text.strip_prefix('!')?.chars()) {
                *entry = Some(CastMember::parse(letter)?);
            }
        }
        Some(Self { must_own, excluded })
    }
}
