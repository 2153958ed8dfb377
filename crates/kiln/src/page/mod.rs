//! HTML pages: training report, run comparison, model analysis. Each page is one file that loads nothing.
//!
//! | page | function | data | template |
//! |---|---|---|---|
//! | training report | [`render_report`] | [`Report`] | `report.html` |
//! | run comparison | [`render_comparison`] | [`Comparison`] | `compare.html` |
//! | model analysis | [`render_inspect`] | [`InspectPage`](inspect::InspectPage) | `inspect.html` |
//!
//! All three extend `page.html` and draw their charts with `chart.html`. A page is plain data ([`Report`], [`Comparison`], [`InspectPage`](inspect::InspectPage)). The modules `report`,
//! `compare` and `inspect` turn the data into a view, a serializable struct with every number already formatted. The
//! minijinja templates in `templates/` print the view. Templates escape all text, and an unknown field is an error
//! ([`UndefinedBehavior::Strict`]). `hover.js` adds values under the pointer; the page is complete without it.
//!
//! ```
//! use kiln::page::{Report, render_report};
//!
//! let report = Report { name: "demo".into(), steps: 10, train_loss: Some(2.5), ..Report::default() };
//! let html = render_report(&report);
//! assert!(html.starts_with("<!doctype html>") && html.contains("training loss is 2.50 nats per token"));
//! ```

mod blocks;
mod chart;
mod compare;
pub(crate) mod compare_metrics;
mod compare_results;
mod curves;
mod data;
mod downsample;
mod expert_loads;
mod hover;
pub mod inspect;
mod labels;
mod markup;
mod metrics_rows;
pub(crate) mod model_view;
pub(crate) mod number_format;
mod objective_metrics;
mod report;
mod sample_texts;
mod scale;
pub(crate) mod seed_groups;

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde::Serialize;

#[cfg(feature = "cli")]
pub(crate) use compare_results::{loss_units_label, tokens_per_second};
pub use data::*;
pub use metrics_rows::*;

/// Templates and the files they include, by the name that `{% include %}` and `{% from %}` use.
const TEMPLATES: [(&str, &str); 11] = [
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
    ("inspect.js", include_str!("templates/inspect.js")),
];

/// The training report of one run, as a complete HTML document.
pub fn render_report(report: &Report) -> String {
    render_template("report.html", &report::view(report))
}

/// One sentence on how a run ended, as shown below its name in the report: steps, tokens, time and loss.
pub fn run_summary(report: &Report) -> String {
    report::summary(report).replace('\u{a0}', " ")
}

/// The comparison of several runs, as a complete HTML document.
pub fn render_comparison(compare: &Comparison) -> String {
    render_template("compare.html", &compare::view(compare))
}

/// The analysis of one text (attention maps, logit lens), as a complete HTML document.
pub fn render_inspect(page: &inspect::InspectPage) -> String {
    render_template("inspect.html", &inspect::view(page))
}

/// Renders the template `name`. The templates are compiled into the program, so that an error is a bug: it panics.
fn render_template(name: &str, view: &impl Serialize) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).expect("the built-in templates parse");
    }
    environment.add_filter("code", markup::format_code);
    environment.add_filter("nobreak", |text: String| text.replace(' ', "\u{a0}"));
    let html = environment.get_template(name).and_then(|template| template.render(Serde(view)));
    html.expect("the built-in templates use fields of their views only")
}

/// Moving average of a curve, as the charts draw the training loss.
#[cfg(feature = "cli")]
pub(crate) use downsample::smooth;

#[cfg(test)]
mod tests;
