//! Kiln in a web page: a [`Session`] that trains, opens, generates with and shows models, without files or threads.
//!
//! A page sends a [`Call`] by name and gets an [`Answer`]: a JSON value, and arrays apart from it. While a call runs, the session
//! sends events through its [`Host`], and takes other calls between training steps and between tokens. `docs/web.md` lists the
//! calls with their arguments.
//!
//! | module | calls |
//! |---|---|
//! | [`session`] | the calls by name |
//! | `catalog` | `catalog`: recipes, component families and the schema of a recipe |
//! | `recipe` | `check`: a recipe resolved and checked, with its size |
//! | `pattern` | `pattern`: what each layer of a recipe sees |
//! | `train` | `train`, `resume`, `pause` |
//! | `runs` | `runs`, `metrics`, `delete` |
//! | `download`, `open` | `download`, `open`: runs as zip files, models, data |
//! | `models` | `load`, `models`, `unload` |
//! | `generate` | `generate`, `stop` |
//! | `inspect` | `inspect`, `attention` |
//! | `patch` | `patch`, `patch_map` |
//! | `variant` | `variant` |
//!
//! A session is the same natively and in a browser. On wasm32 the module `wasm` exports it to JavaScript; `web/worker.js` is the
//! Web Worker that owns it, and `tools/build-web.sh` builds both into a static folder.
//!
//! ```
//! use kiln_train::run::Untimed;
//! use kiln_web::{Call, Quiet, Session};
//! use serde_json::json;
//!
//! let session = Session::new(burn::tensor::Device::flex(), Quiet(Untimed));
//! let toml = "tokenizer = \"byte\"\n[model]\nhidden = 16\n[[stages]]\nsteps = 10\n";
//! let call = Call::new("check", json!({ "toml": toml, "set": ["stages.0.steps=20"] }));
//! let answer = kiln_infer::block_on(session.call(call))?;
//! assert_eq!(answer.value["steps"], 20);
//! # Ok::<(), kiln_web::SessionError>(())
//! ```
#![forbid(unsafe_code)]

mod answer;
mod arguments;
mod catalog;
mod download;
mod error;
mod forward;
mod generate;
mod host;
mod inspect;
mod layers;
mod listener;
mod models;
mod open;
mod patch;
mod pattern;
mod recipe;
mod runs;
pub mod session;
mod tokens;
mod train;
mod variant;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use answer::{Answer, Array};
pub use arguments::Call;
pub use error::SessionError;
pub use host::{Host, Quiet};
pub use session::Session;
