//! Pages that people look at: one file of HTML that needs nothing else.
//!
//! A page is plain data ([`Report`], [`Compare`]) → what its sections show (`curves`, `picture`, `texts`) → templates,
//! which escape all that they are given. A page reads without its script, which only answers the pointer.

mod blocks;
mod chart;
mod compare;
mod curves;
mod data;
mod downsample;
mod hover;
pub mod inspect;
mod labels;
mod metrics_rows;
mod model_view;
pub(crate) mod number_format;
mod report;
mod sample_texts;
mod scale;

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde::Serialize;

pub use data::*;
pub use metrics_rows::*;

/// The page of one run, as a whole HTML document.
pub fn render_report(report: &Report) -> String {
    render_template("report.html", &report::view(report))
}

/// One sentence that says how a run ended, as the page has it below its name.
pub fn run_summary(report: &Report) -> String {
    report::summary(report).replace('\u{a0}', " ")
}

/// The page that puts runs beside each other, as a whole HTML document.
pub fn render_comparison(compare: &Comparison) -> String {
    render_template("compare.html", &compare::view(compare))
}

/// The page of what a model does with one text, as a whole HTML document.
pub fn render_inspect(page: &inspect::InspectPage) -> String {
    render_template("inspect.html", &inspect::view(page))
}

fn render_template(name: &str, view: &impl Serialize) -> String {
    let mut pages = Environment::new();
    pages.set_undefined_behavior(UndefinedBehavior::Strict);
    let templates = [
        ("page.html", include_str!("templates/page.html")),
        ("chart.html", include_str!("templates/chart.html")),
        ("model.html", include_str!("templates/model.html")),
        ("report.html", include_str!("templates/report.html")),
        ("compare.html", include_str!("templates/compare.html")),
        ("inspect.html", include_str!("templates/inspect.html")),
        ("inspect.css", include_str!("templates/inspect.css")),
        ("page.css", include_str!("templates/page.css")),
        ("chart.css", include_str!("templates/chart.css")),
        ("hover.js", include_str!("templates/hover.js")),
    ];
    for (name, source) in templates {
        pages.add_template(name, source).expect("the templates are part of the program and parse");
    }
    pages.add_filter("nobreak", |text: String| text.replace(' ', "\u{a0}"));
    let page = pages.get_template(name).and_then(|page| page.render(Serde(view)));
    page.expect("the templates ask only for what the views have")
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod fixture_model;
#[cfg(test)]
mod tests;
