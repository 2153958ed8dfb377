use super::*;
use crate::hf::FAMILIES;

#[test]
fn architectures_are_listed_once() {
    let names = architectures();
    assert!(names.len() >= 15 && names.contains(&"qwen3moe"), "{names:?}");
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}

#[test]
fn every_column_names_holes_that_its_family_has() {
    for family in FAMILIES {
        let Some(gguf) = family.gguf else { continue };
        let named = gguf.fixed.iter().map(|(hole, _)| *hole).chain(gguf.renamed.iter().map(|(hole, _)| *hole));
        for hole in named {
            assert!(family.template.contains(&format!("\"${hole}")), "{}: no hole `{hole}`", family.name);
        }
    }
}

#[test]
fn a_family_without_an_architecture_is_refused_by_name() {
    let error = crate::hf::family("gptj").unwrap().gguf().err().unwrap();
    assert_eq!(error.path, "model_type");
    assert!(error.reason.contains("`gptj`") && error.suggestion.unwrap().contains("`mixtral`"));
}
