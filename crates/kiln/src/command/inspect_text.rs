//! `kiln inspect MODEL --text TEXT`: attention maps and logit lens of a text, as tables and as an HTML page.
//!
//! The logit lens applies the final norm and the output head after every layer, and so shows in which layer a prediction is
//! formed. The attention maps show the weights of every head; they need the reference kernel, because the fused kernels
//! never compute the whole map.
//!
//! JSON: `{"tokens","ids","lens":[{"path","guesses":[{"token","probability"}]}],"maps":[{"layer","head","weights"}],"page"}`;
//! `weights` is `[tokens, tokens]` in row-major order.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    model_args::ModelArgs,
    out_path,
    output::{CommandOutput, print_message},
    run_report,
    table::format_table,
    token_text::readable_token,
};
use crate::page::{
    self,
    inspect::{InspectPage, LayerAttention, LensRow, attention_shares},
    number_format::format_percent,
};
use kiln_data::Tokenizer;
use kiln_infer::block_on;
use kiln_interpret::{AttentionMap, AttentionReport, LogitLensLayer, inspect};
use kiln_train::run_folder::write_atomic;
use serde_json::{Value, json};
use std::path::Path;

/// Maximum number of analyzed tokens: as many as a page has room for.
const MAX_TOKENS: usize = 48;

/// Analyzes a text and writes the page to `out`.
///
/// The text is cut off after 48 tokens, or after as many as the model has positions. The page is written even if the
/// model has no attention; its section is then missing.
pub fn run(model: &ModelArgs, text: &str, out: &Path, device: &DeviceArgs) -> Result<CommandOutput, CliError> {
    out_path::check_page(out)?;
    let loaded = model.source()?.load(&device.open()?)?;
    let tokenizer = &loaded.tokenizer;
    let config = loaded.model.config();
    let ids = tokenizer.encode_prompt(tokenizer.special_tokens().bos, text);
    let encoder_positions = config.encoder_model_config().and_then(|encoder| encoder.max_positions());
    let limits = [config.max_positions(), encoder_positions];
    let max_tokens = limits.into_iter().flatten().fold(MAX_TOKENS, usize::min);
    let analyzed = &ids[..ids.len().min(max_tokens)];
    tokenizer.check_rows(analyzed, config.vocab)?;
    let report =
        block_on(inspect(&loaded.model, analyzed)).map_err(|error| CliError::failed("device", error.to_string()))?;
    let page = InspectPage {
        name: run_report::run_name(&model.model),
        text: text.into(),
        omitted_tokens: ids.len() - analyzed.len(),
        tokens: analyzed.iter().map(|id| readable_token(tokenizer, *id)).collect(),
        attention: layer_attention(&report.attention_maps),
        lens: report.logit_lens.iter().map(|layer| lens_row(layer, tokenizer)).collect(),
    };
    write_atomic(out, page::render_inspect(&page).as_bytes())?;
    print_message(&format!("page: {}", out.display()));
    let mut tables = vec![top_token_table(&page), head_table(&page)];
    tables.retain(|table| !table.is_empty());
    Ok(CommandOutput::new(to_json(&page, analyzed, &report, out), tables.join("\n\n")))
}

/// The attention maps, grouped by layer.
///
/// `maps` is sorted by layer.
fn layer_attention(maps: &[AttentionMap]) -> Vec<LayerAttention> {
    let layers = maps.chunk_by(|a, b| a.layer == b.layer);
    layers
        .map(|heads| LayerAttention {
            path: heads[0].layer.clone(),
            heads: heads.iter().map(|map| map.weights.clone()).collect(),
        })
        .collect()
}

/// The name of a layer is that of the residual stream after it: `block 3`.
fn lens_row(layer: &LogitLensLayer, tokenizer: &Tokenizer) -> LensRow {
    let top_tokens = layer.top_tokens.iter().map(|top| (readable_token(tokenizer, top.id), f64::from(top.probability)));
    LensRow {
        name: layer.path.trim_end_matches(".residual").replace("blocks.", "block "),
        top_tokens: top_tokens.collect(),
    }
}

/// One line per token: the final prediction, its probability, and the first layer from which on it does not change.
fn top_token_table(page: &InspectPage) -> String {
    let Some(last) = page.lens.last() else { return String::new() };
    let mut rows = Vec::new();
    for (index, (prediction, probability)) in last.top_tokens.iter().enumerate() {
        let agreeing = page.lens.iter().rev().take_while(|row| row.top_tokens[index].0 == *prediction);
        let since = agreeing.last().map_or("", |row| &row.name);
        rows.push(vec![
            page.tokens[index].clone(),
            prediction.clone(),
            format_percent(*probability),
            since.to_string(),
        ]);
    }
    format_table(&["input", "prediction", "probability", "since"], &rows, &[2])
}

/// One line per head: the shares of its attention that go to the query itself, the token before it and the first token.
///
/// A head with a high share of the previous token is often part of an induction circuit; one with a high share of the
/// first token is often inactive (attention sink).
fn head_table(page: &InspectPage) -> String {
    let mut rows = Vec::new();
    for layer in &page.attention {
        for (head, weights) in layer.heads.iter().enumerate() {
            let shares = attention_shares(weights, page.tokens.len());
            let shares = [shares.self_token, shares.previous_token, shares.first_token].map(format_percent);
            rows.push([&[layer.path.clone(), head.to_string()], &shares[..]].concat());
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    format_table(&["layer", "head", "self", "previous", "first"], &rows, &[1, 2, 3, 4])
}

/// `ids` are the analyzed tokens.
fn to_json(page: &InspectPage, ids: &[u32], report: &AttentionReport, out: &Path) -> Value {
    let lens = page
        .lens
        .iter()
        .zip(&report.logit_lens)
        .map(|(row, layer)| json!({ "path": layer.path, "guesses": row.top_tokens.iter().map(top_token_json).collect::<Vec<_>>() }));
    let maps =
        report.attention_maps.iter().map(|map| json!({ "layer": map.layer, "head": map.head, "weights": map.weights }));
    json!({
        "tokens": page.tokens,
        "ids": ids,
        "lens": lens.collect::<Vec<_>>(),
        "maps": maps.collect::<Vec<_>>(),
        "page": out,
    })
}

/// A prediction in the JSON result.
fn top_token_json((token, probability): &(String, f64)) -> Value {
    json!({ "token": token, "probability": probability })
}
