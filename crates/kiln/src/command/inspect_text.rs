//! `inspect --text`: what a model does with a text.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    model_args::ModelArgs,
    output::{CommandOutput, print_message},
    run_report,
    table::format_table,
};
use crate::page::{
    self,
    inspect::{LayerAttention, LensRow, attention_shares},
    number_format::format_percent,
};
use kiln_infer::block_on;
use kiln_interpret::{AttentionMap, AttentionReport, LogitLensLayer, inspect};
use kiln_train::run_folder::write_atomic;
use serde_json::{Value, json};
use std::path::Path;

/// Tokens that are looked at: as many as a page can name.
const MAX_TOKENS: usize = 48;

/// Looks, and writes the page.
pub fn run(model: &ModelArgs, text: &str, out: &Path, host: &DeviceArgs) -> Result<CommandOutput, CliError> {
    let loaded = model.source()?.load(&host.open()?)?;
    let (tokenizer, config) = (&loaded.tokenizer, loaded.model.config());
    let ids = tokenizer.encode_prompt(tokenizer.special_tokens().bos, text);
    let encoder = config.encoder_model_config().and_then(|encoder| encoder.position.max_positions());
    let most =
        [Some(MAX_TOKENS), config.position.max_positions(), encoder].into_iter().flatten().min().unwrap_or(MAX_TOKENS);
    let shown = &ids[..ids.len().min(most)];
    let inside =
        block_on(inspect(&loaded.model, shown)).map_err(|error| CliError::failed("device", error.to_string()))?;
    let name = |id: u32| tokenizer.id_to_token(id);
    let page = page::inspect::InspectPage {
        name: run_report::run_name(&model.model),
        text: text.into(),
        omitted_tokens: ids.len() - shown.len(),
        tokens: shown.iter().map(|id| name(*id)).collect(),
        attention: layer_attention(&inside.attention_maps),
        lens: inside.logit_lens.iter().map(|layer| lens_row(layer, &name)).collect(),
    };
    write_atomic(out, page::render_inspect(&page).as_bytes())?;
    print_message(&format!("page in {}", out.display()));
    let text =
        [top_token_table(&page), head_table(&page)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    Ok(CommandOutput::new(to_json(&page, shown, &inside, out), text.join("\n\n")))
}

fn layer_attention(maps: &[AttentionMap]) -> Vec<LayerAttention> {
    let same = |a: &AttentionMap, b: &AttentionMap| a.layer == b.layer;
    let layer = |heads: &[AttentionMap]| LayerAttention {
        path: heads[0].layer.clone(),
        heads: heads.iter().map(|map| map.weights.clone()).collect(),
    };
    maps.chunk_by(same).map(layer).collect()
}

fn lens_row(layer: &LogitLensLayer, name: &dyn Fn(u32) -> String) -> LensRow {
    let said = layer.top_tokens.iter().map(|guess| (name(guess.id), f64::from(guess.probability)));
    LensRow { name: layer.path.trim_end_matches(".residual").replace("blocks.", "block "), top_tokens: said.collect() }
}

/// A line a token: what the model says next, how surely, and since which layer.
fn top_token_table(page: &page::inspect::InspectPage) -> String {
    let Some(last) = page.lens.last() else { return String::new() };
    let row = |(place, (said, probability)): (usize, &(String, f64))| {
        let agrees = |row: &&LensRow| row.top_tokens[place].0 == *said;
        let since = page.lens.iter().rev().take_while(agrees).last().map_or("", |row| &row.name);
        vec![page.tokens[place].clone(), said.clone(), format_percent(*probability), since.to_string()]
    };
    let rows: Vec<Vec<String>> = last.top_tokens.iter().enumerate().map(row).collect();
    format_table(&["reads", "says", "probability", "since"], &rows, &[2])
}

/// A line a head: where its looks go, those that have the most of a habit first.
fn head_table(page: &page::inspect::InspectPage) -> String {
    let size = page.tokens.len();
    let head = |layer: &LayerAttention, (head, weights): (usize, &Vec<f32>)| {
        let habits = attention_shares(weights, size);
        let cells = [habits.self_token, habits.previous_token, habits.first_token].map(format_percent);
        [vec![layer.path.clone(), head.to_string()], cells.to_vec()].concat()
    };
    let rows = page.attention.iter().flat_map(|layer| layer.heads.iter().enumerate().map(move |h| head(layer, h)));
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    format_table(&["layer", "head", "itself", "previous", "first"], &rows, &[1, 2, 3, 4])
}

fn to_json(page: &page::inspect::InspectPage, ids: &[u32], inside: &AttentionReport, out: &Path) -> Value {
    let guess = |row: &LensRow| {
        let said =
            row.top_tokens.iter().map(|(token, probability)| json!({ "token": token, "probability": probability }));
        said.collect::<Vec<_>>()
    };
    let lens = page
        .lens
        .iter()
        .zip(&inside.logit_lens)
        .map(|(row, layer)| json!({ "path": layer.path, "guesses": guess(row) }));
    let map = |map: &AttentionMap| json!({ "layer": map.layer, "head": map.head, "weights": map.weights });
    json!({
        "tokens": page.tokens,
        "ids": ids,
        "lens": lens.collect::<Vec<_>>(),
        "maps": inside.attention_maps.iter().map(map).collect::<Vec<_>>(),
        "page": out,
    })
}
