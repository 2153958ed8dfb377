//! A session, natively: the same calls as in a browser.

mod catalog;
mod data;
mod moving;
mod page;
mod refusals;
mod text;
mod training;
