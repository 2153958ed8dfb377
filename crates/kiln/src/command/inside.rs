//! `inspect --text`: what a model does with a text.

use super::{
    host::HostArgs,
    output::{Answer, say},
    place::ModelArgs,
    report,
    table::table,
    trouble::Trouble,
};
use crate::page::{
    self,
    inside::{LayerMaps, LensRow, habits},
    number::percent,
};
use kiln_infer::block_on;
use kiln_interpret::{Inside, Layer, Map, look};
use kiln_train::folder::write_atomic;
use serde_json::{Value, json};
use std::path::Path;

/// Tokens that are looked at: as many as a page can name.
const LENGTH: usize = 48;

/// Looks, and writes the page.
pub fn run(model: &ModelArgs, text: &str, out: &Path, host: &HostArgs) -> Result<Answer, Trouble> {
    let loaded = model.place()?.load(&host.device()?)?;
    let (tokenizer, config) = (&loaded.tokenizer, loaded.model.config());
    let ids = tokenizer.opening(tokenizer.specials().bos, text);
    let encoder = config.as_encoder().and_then(|encoder| encoder.position.limit());
    let most = [Some(LENGTH), config.position.limit(), encoder].into_iter().flatten().min().unwrap_or(LENGTH);
    let shown = &ids[..ids.len().min(most)];
    let inside = block_on(look(&loaded.model, shown)).map_err(|error| Trouble::failed("device", error.to_string()))?;
    let name = |id: u32| tokenizer.token(id);
    let page = page::inside::Inside {
        name: report::name(&model.model),
        text: text.into(),
        left_out: ids.len() - shown.len(),
        tokens: shown.iter().map(|id| name(*id)).collect(),
        layers: layers(&inside.maps),
        lens: inside.lens.iter().map(|layer| row(layer, &name)).collect(),
    };
    write_atomic(out, page::inside(&page).as_bytes())?;
    say(&format!("page in {}", out.display()));
    let text = [guesses(&page), heads(&page)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    Ok(Answer::new(json(&page, shown, &inside, out), text.join("\n\n")))
}

fn layers(maps: &[Map]) -> Vec<LayerMaps> {
    let same = |a: &Map, b: &Map| a.layer == b.layer;
    let layer = |heads: &[Map]| LayerMaps {
        path: heads[0].layer.clone(),
        heads: heads.iter().map(|map| map.weights.clone()).collect(),
    };
    maps.chunk_by(same).map(layer).collect()
}

fn row(layer: &Layer, name: &dyn Fn(u32) -> String) -> LensRow {
    let said = layer.guesses.iter().map(|guess| (name(guess.id), f64::from(guess.probability)));
    LensRow { name: layer.path.trim_end_matches(".residual").replace("blocks.", "block "), guesses: said.collect() }
}

/// A line a token: what the model says next, how surely, and since which layer.
fn guesses(page: &page::inside::Inside) -> String {
    let Some(last) = page.lens.last() else { return String::new() };
    let row = |(place, (said, probability)): (usize, &(String, f64))| {
        let agrees = |row: &&LensRow| row.guesses[place].0 == *said;
        let since = page.lens.iter().rev().take_while(agrees).last().map_or("", |row| &row.name);
        vec![page.tokens[place].clone(), said.clone(), percent(*probability), since.to_string()]
    };
    let rows: Vec<Vec<String>> = last.guesses.iter().enumerate().map(row).collect();
    table(&["reads", "says", "probability", "since"], &rows, &[2])
}

/// A line a head: where its looks go, those that have the most of a habit first.
fn heads(page: &page::inside::Inside) -> String {
    let size = page.tokens.len();
    let head = |layer: &LayerMaps, (head, weights): (usize, &Vec<f32>)| {
        let habits = habits(weights, size);
        let cells = [habits.itself, habits.previous, habits.first].map(percent);
        [vec![layer.path.clone(), head.to_string()], cells.to_vec()].concat()
    };
    let rows = page.layers.iter().flat_map(|layer| layer.heads.iter().enumerate().map(move |h| head(layer, h)));
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    table(&["layer", "head", "itself", "previous", "first"], &rows, &[1, 2, 3, 4])
}

fn json(page: &page::inside::Inside, ids: &[u32], inside: &Inside, out: &Path) -> Value {
    let guess = |row: &LensRow| {
        let said = row.guesses.iter().map(|(token, probability)| json!({ "token": token, "probability": probability }));
        said.collect::<Vec<_>>()
    };
    let lens =
        page.lens.iter().zip(&inside.lens).map(|(row, layer)| json!({ "path": layer.path, "guesses": guess(row) }));
    let map = |map: &Map| json!({ "layer": map.layer, "head": map.head, "weights": map.weights });
    json!({
        "tokens": page.tokens,
        "ids": ids,
        "lens": lens.collect::<Vec<_>>(),
        "maps": inside.maps.iter().map(map).collect::<Vec<_>>(),
        "page": out,
    })
}
