//! Making the next batches while the model works on this one.

use std::{
    ops::Range,
    panic::resume_unwind,
    sync::mpsc::{Receiver, sync_channel},
    thread::{JoinHandle, spawn},
};

/// Runs a function for one step after another on a thread of its own, a few steps ahead; yields the results in order.
///
/// Dropping it stops the thread and waits for it. If the function panics, so does `next`.
#[derive(Debug)]
pub struct Prefetcher<T> {
    /// `None` once nothing more is wanted.
    receiver: Option<Receiver<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Prefetcher<T> {
    /// Starts to `make` the given steps, at most `depth` ahead of the one that is asked for.
    pub fn new(depth: usize, steps: Range<u64>, mut make: impl FnMut(u64) -> T + Send + 'static) -> Self {
        let (sender, ready) = sync_channel(depth);
        let thread = spawn(move || {
            for step in steps {
                if sender.send(make(step)).is_err() {
                    break;
                }
            }
        });
        Self { receiver: Some(ready), thread: Some(thread) }
    }
}

impl<T> Iterator for Prefetcher<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Ok(made) = self.receiver.as_ref()?.recv() {
            return Some(made);
        }
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
            // A panic that nobody asked for ends here: panicking in `drop` would abort.
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
    fn errors_are_results_like_others() {
        let made: Vec<_> = Prefetcher::new(1, 0..3, |step| if step == 1 { Err("broken") } else { Ok(step) }).collect();
        assert_eq!(made, [Ok(0), Err("broken"), Ok(2)]);
    }

    #[test]
    fn dropping_it_stops_the_thread_a_few_steps_ahead() {
        let made = Arc::new(AtomicU64::new(0));
        let count = made.clone();
        let mut prefetch = Prefetcher::new(2, 0..u64::MAX, move |_| count.fetch_add(1, Ordering::SeqCst));
        assert_eq!(prefetch.next(), Some(0));
        drop(prefetch);
        let stopped = made.load(Ordering::SeqCst);
        assert!(stopped <= 5, "{stopped}");
        assert_eq!(Arc::strong_count(&made), 1);
    }

    #[test]
    fn a_panic_reaches_the_one_who_asks() {
        let mut prefetch = Prefetcher::new(1, 0..9, |step| assert_ne!(step, 1, "bad step"));
        assert_eq!(prefetch.next(), Some(()));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| prefetch.next()));
        assert!(panic.is_err());
    }
}
