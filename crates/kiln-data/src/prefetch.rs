//! Prefetching: the next batches are built on a background thread while the device computes.
//!
//! Results come in step order and do not depend on the depth: the function is a function of the step alone
//! ([`crate::Packer::rows_at_step`] is one).

use std::{
    ops::Range,
    panic::resume_unwind,
    sync::mpsc::{Receiver, sync_channel},
    thread::{JoinHandle, spawn},
};

/// Iterator that computes its items on a background thread, a bounded number of steps ahead.
///
/// Dropping it stops the thread after the item it works on, and waits for it. If the function panics, [`Iterator::next`]
/// panics with the same payload, after the items that were computed before.
///
/// ```
/// let squares: Vec<u64> = kiln_data::Prefetcher::new(2, 0..4, |step| step * step).collect();
/// assert_eq!(squares, [0, 1, 4, 9]);
/// ```
#[derive(Debug)]
pub struct Prefetcher<T> {
    /// `None` after the last item or a panic. Dropping the receiver makes the thread stop at its next `send`.
    receiver: Option<Receiver<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Prefetcher<T> {
    /// Starts a thread that calls `compute` for each of `steps`, in order.
    ///
    /// At most `depth` results wait in the queue; the thread computes one more and then blocks.
    pub fn new(depth: usize, steps: Range<u64>, mut compute: impl FnMut(u64) -> T + Send + 'static) -> Self {
        let (sender, receiver) = sync_channel(depth);
        let thread = spawn(move || {
            for step in steps {
                if sender.send(compute(step)).is_err() {
                    break;
                }
            }
        });
        Self { receiver: Some(receiver), thread: Some(thread) }
    }
}

impl<T> Iterator for Prefetcher<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Ok(item) = self.receiver.as_ref()?.recv() {
            return Some(item);
        }
        // The sender is gone: the thread has finished or panicked.
        self.receiver = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            resume_unwind(panic);
        }
        None
    }
}

impl<T> Drop for Prefetcher<T> {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // The result is ignored: a panic inside `drop` could abort the process.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    #[test]
    fn results_come_in_order_and_end() {
        assert_eq!(
            Prefetcher::new(3, 5..200, |step| step * 2).collect::<Vec<_>>(),
            (5..200).map(|s| s * 2).collect::<Vec<_>>()
        );
    }

    #[test]
    fn errors_are_items() {
        let items: Vec<_> = Prefetcher::new(1, 0..3, |step| if step == 1 { Err("broken") } else { Ok(step) }).collect();
        assert_eq!(items, [Ok(0), Err("broken"), Ok(2)]);
    }

    #[test]
    fn dropping_stops_the_thread_within_a_few_steps() {
        let calls = Arc::new(AtomicU64::new(0));
        let count = calls.clone();
        let mut prefetch = Prefetcher::new(2, 0..u64::MAX, move |_| count.fetch_add(1, Ordering::SeqCst));
        assert_eq!(prefetch.next(), Some(0));
        drop(prefetch);
        let num_calls = calls.load(Ordering::SeqCst);
        assert!(num_calls <= 5, "{num_calls}");
        assert_eq!(Arc::strong_count(&calls), 1);
    }

    #[test]
    fn a_panic_of_the_function_is_a_panic_of_next() {
        let mut prefetch = Prefetcher::new(1, 0..9, |step| assert_ne!(step, 1, "bad step"));
        assert_eq!(prefetch.next(), Some(()));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| prefetch.next()));
        assert!(panic.is_err());
    }
}
