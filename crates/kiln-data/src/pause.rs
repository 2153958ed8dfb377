//! Pauses of long work, in which a program does something else: a page in a browser answers messages.
//!
//! A function with a pause is `async` and calls it between pieces of a few milliseconds. Its form without pauses does the same
//! work in one go, with the same result.

use crate::DataError;
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Called between the pieces of long work. An error ends the work with this error, such as [`DataError::Stopped`].
pub trait Pause: AsyncFnMut() -> Result<(), DataError> {}

impl<F: AsyncFnMut() -> Result<(), DataError>> Pause for F {}

/// A pause that returns at once.
pub(crate) async fn no_pause() -> Result<(), DataError> {
    Ok(())
}

/// The result of work with [`no_pause`], which never waits.
pub(crate) fn complete<T>(work: impl Future<Output = T>) -> T {
    let (mut work, mut context) = (pin!(work), Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut context) {
            return result;
        }
    }
}
