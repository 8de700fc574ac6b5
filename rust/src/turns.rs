//! Whose turn it is: what keeps large requests from starving small ones.
//!
//! In: requests that work, each with a [`Turn`] in its [`crate::watch::Watch`]. Out: time and
//! memory, dealt out fairly. Nothing here knows what the work is.
//!
//! Every request is small until it has worked for some time, [`SMALL_WORK`]. From then on it is large: it
//! needs a place, of which a process has as many as processors, and its share of the memory for
//! large requests. Large requests wait in line for both; small ones wait for nothing. A place is
//! for a time slice: whoever has had one and sees others wait goes to the end of the line. Whoever
//! waits for its client gives its place back, so that a client that reads slowly, or not at all,
//! holds up nobody. Its memory it keeps, since that is in use.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::source::SourceError;

/// Work that any request may do at once. Nearly all fetches are through by then, and a person
/// does not notice it.
pub const SMALL_WORK: Duration = Duration::from_millis(50);

/// How long a large request works before it lets another one work, if one waits. Long against
/// what a change costs (a cold cache, some 10 µs), short against anybody's patience.
pub const SLICE: Duration = Duration::from_millis(100);

/// How often a waiting request looks whether it has been cancelled.
const LOOK: Duration = Duration::from_millis(20);

/// What a process has to deal out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supply {
    /// Large requests that work at one time.
    pub places: usize,
    /// Bytes that large requests may take together. One alone may take more: it would never be
    /// served otherwise.
    pub memory: u64,
    /// Large requests that wait to begin; one more is refused. `None`: they all wait.
    pub waiting: Option<usize>,
    /// Work that a request may do before it counts as large.
    pub small_work: Duration,
}

impl Default for Supply {
    fn default() -> Self {
        Self {
            places: std::thread::available_parallelism().map_or(2, usize::from).max(2),
            memory: u64::MAX,
            waiting: None,
            small_work: SMALL_WORK,
        }
    }
}

/// What is dealt out, and to whom.
#[derive(Debug, Default)]
pub struct Turns {
    inner: Mutex<Inner>,
    changed: Condvar,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    supply: Supply,
    /// Those that have begun and are not over, and the bytes that each has.
    begun: BTreeMap<u64, u64>,
    /// Those that have not begun: they lack memory. Numbers and bytes, in order of arrival.
    beginning: VecDeque<(u64, u64)>,
    /// Those that have memory and lack a place.
    ready: VecDeque<u64>,
    working: Vec<Working>,
}

#[derive(Debug)]
struct Working {
    number: u64,
    /// Until when it is not to be disturbed; `None` before it has noticed that it may work.
    until: Option<Instant>,
}

impl Turns {
    /// With something to deal out.
    pub fn new(supply: Supply) -> Arc<Self> {
        let turns = Self::default();
        turns.supply(supply);
        Arc::new(turns)
    }

    /// Those of this process.
    pub fn of_process() -> &'static Arc<Self> {
        static TURNS: OnceLock<Arc<Turns>> = OnceLock::new();
        TURNS.get_or_init(Arc::default)
    }

    /// Changes what there is to deal out.
    pub fn supply(&self, supply: Supply) {
        let mut inner = self.locked();
        inner.supply = supply;
        inner.deal();
        self.changed.notify_all();
    }

    /// A turn for a request that will need so much memory if it turns out to be large.
    pub fn turn(self: &Arc<Self>, memory: u64) -> Turn {
        Turn {
            turns: Arc::clone(self),
            number: self.next.fetch_add(1, Ordering::Relaxed),
            begun: Instant::now(),
            free_until: AtomicU64::new(nanos(self.locked().supply.small_work)),
            wanted: AtomicU64::new(memory),
            large: AtomicBool::new(false),
        }
    }

    /// Bytes that large requests have.
    #[cfg(test)]
    pub(crate) fn held(&self) -> u64 {
        self.locked().taken()
    }

    /// (large requests that have begun and are not over, those that wait to begin).
    pub fn standing(&self) -> (usize, usize) {
        let inner = self.locked();
        (inner.begun.len(), inner.beginning.len())
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        // lists of numbers; whoever panicked with the lock held left them whole
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Gives memory and places to the first in line, as far as there are any.
    fn deal(&mut self) {
        let mut taken = self.taken();
        while let Some(&(number, bytes)) = self.beginning.front() {
            taken = taken.saturating_add(bytes);
            if taken > self.supply.memory && !self.begun.is_empty() {
                break;
            }
            self.beginning.pop_front();
            self.begun.insert(number, bytes);
            self.ready.push_back(number);
        }
        while self.working.len() < self.supply.places
            && let Some(number) = self.ready.pop_front()
        {
            self.working.push(Working { number, until: None });
        }
    }

    fn taken(&self) -> u64 {
        self.begun.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Takes its place from it, or its place in the line for one.
    fn send_off(&mut self, number: u64) {
        self.ready.retain(|&other| other != number);
        self.working.retain(|other| other.number != number);
    }

    /// Where it stands among those that have no memory yet.
    fn beginner(&self, number: u64) -> Option<usize> {
        self.beginning.iter().position(|&(other, _)| other == number)
    }
}

/// One request's place in line. Dropping it gives everything back.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    number: u64,
    begun: Instant,
    /// Nanoseconds since it began until which it works without asking.
    free_until: AtomicU64,
    /// Bytes that it will take.
    wanted: AtomicU64,
    large: AtomicBool,
}

impl Turn {
    /// May the work go on? Waits until it may. Called by all threads of the request.
    #[inline]
    pub fn step(&self, is_cancelled: &dyn Fn() -> bool) -> Result<(), SourceError> {
        if nanos(self.begun.elapsed()) < self.free_until.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.wait(is_cancelled)
    }

    #[cold]
    fn wait(&self, is_cancelled: &dyn Fn() -> bool) -> Result<(), SourceError> {
        let turns = &*self.turns;
        let mut inner = turns.locked();
        loop {
            let others_wait = !inner.ready.is_empty();
            let now = Instant::now();
            if let Some(working) = inner.working.iter_mut().find(|one| one.number == self.number) {
                match working.until {
                    Some(until) if now >= until && others_wait => {
                        inner.send_off(self.number);
                        inner.ready.push_back(self.number);
                        inner.deal();
                        turns.changed.notify_all();
                        continue;
                    }
                    Some(until) if now < until => {}
                    _ => working.until = Some(now + SLICE),
                }
                let until = working.until.unwrap_or(now) - self.begun;
                self.free_until.store(nanos(until), Ordering::Relaxed);
                return Ok(());
            }
            if !self.large.swap(true, Ordering::Relaxed) {
                self.begin(&mut inner)?;
                continue;
            }
            let waits = inner.ready.contains(&self.number) || inner.beginner(self.number).is_some();
            if !waits {
                // it waited for its client, and is back
                inner.ready.push_back(self.number);
                inner.deal();
                turns.changed.notify_all();
                continue;
            }
            if is_cancelled() {
                return Err(SourceError::Cancelled);
            }
            inner =
                turns.changed.wait_timeout(inner, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// It has turned out to be large: gets in line.
    fn begin(&self, inner: &mut Inner) -> Result<(), SourceError> {
        let bytes = self.wanted.load(Ordering::Relaxed);
        inner.beginning.push_back((self.number, bytes));
        inner.deal();
        let waits = inner.beginner(self.number).is_some();
        if waits && inner.supply.waiting.is_some_and(|most| inner.beginning.len() > most) {
            inner.beginning.pop_back();
            return Err(SourceError::Busy);
        }
        Ok(())
    }

    /// How much memory it needs is known better now.
    pub fn needs(&self, bytes: u64) {
        // under the lock: a thread of the request may be finding out that it is large
        let mut inner = self.turns.locked();
        self.wanted.store(bytes, Ordering::Relaxed);
        if !self.large.load(Ordering::Relaxed) {
            return;
        }
        if let Some(at) = inner.beginner(self.number) {
            inner.beginning[at].1 = bytes;
        } else if let Some(held) = inner.begun.get_mut(&self.number) {
            *held = bytes;
        }
        inner.deal();
        self.turns.changed.notify_all();
    }

    /// It needs so much more than it said.
    pub fn needs_more(&self, bytes: u64) {
        self.needs(self.wanted.load(Ordering::Relaxed).saturating_add(bytes));
    }

    /// Around waiting for the client: others may work meanwhile.
    pub fn resting<T>(&self, wait: impl FnOnce() -> T) -> T {
        let rested = Instant::now();
        self.rest();
        let done = wait();
        if !self.large.load(Ordering::Relaxed) {
            // a small one's time stands still
            self.free_until.fetch_add(nanos(rested.elapsed()), Ordering::Relaxed);
        }
        done
    }

    /// Gives the place back; the next step asks for one again.
    pub fn rest(&self) {
        if self.large.load(Ordering::Relaxed) {
            let mut inner = self.turns.locked();
            inner.send_off(self.number);
            inner.deal();
            self.turns.changed.notify_all();
            self.free_until.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !*self.large.get_mut() {
            return;
        }
        let mut inner = self.turns.locked();
        inner.send_off(self.number);
        inner.begun.remove(&self.number);
        inner.beginning.retain(|&(other, _)| other != self.number);
        inner.deal();
        self.turns.changed.notify_all();
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    const NEVER: &dyn Fn() -> bool = &|| false;
    const AT_ONCE: &dyn Fn() -> bool = &|| true;

    fn turns(places: usize, memory: u64, waiting: Option<usize>) -> Arc<Turns> {
        Turns::new(Supply { places, memory, waiting, ..Supply::default() })
    }

    /// A turn that has worked for longer than a small request.
    fn large(turns: &Arc<Turns>, memory: u64) -> Turn {
        let turn = turns.turn(memory);
        turn.free_until.store(0, Ordering::Relaxed);
        turn
    }

    /// It would have to wait.
    fn waits(turn: &Turn) -> bool {
        matches!(turn.step(AT_ONCE), Err(SourceError::Cancelled))
            && turn.turns.locked().working.iter().all(|one| one.number != turn.number)
    }

    /// As if it had worked for all of its slice.
    fn use_up_slice(turn: &Turn) {
        turn.free_until.store(0, Ordering::Relaxed);
        let past = Instant::now();
        for working in &mut turn.turns.locked().working {
            working.until = working.until.map(|_| past);
        }
    }

    #[test]
    fn small_requests_wait_for_nothing() {
        let turns = turns(1, 0, Some(0));
        let first = large(&turns, 10);
        first.step(NEVER).unwrap();
        for _ in 0..1000 {
            turns.turn(10).step(AT_ONCE).unwrap();
        }
        assert_eq!(turns.standing(), (1, 0));
    }

    #[test]
    fn a_place_goes_round() {
        let turns = turns(1, u64::MAX, None);
        let (first, second) = (large(&turns, 1), large(&turns, 1));
        first.step(NEVER).unwrap();
        assert!(waits(&second));
        first.step(NEVER).unwrap();
        use_up_slice(&first);
        assert!(waits(&first), "its slice is over, and another waits");
        second.step(NEVER).unwrap();
        use_up_slice(&second);
        drop(first);
        second.step(NEVER).unwrap();
    }

    #[test]
    fn who_needs_more_leaves_less_to_others() {
        let turns = turns(2, 100, None);
        let first = large(&turns, 10);
        first.needs_more(20);
        first.step(NEVER).unwrap();
        assert_eq!(turns.held(), 30);
        first.needs_more(60);
        let second = large(&turns, 20);
        assert!(waits(&second));
        first.needs(80);
        second.step(NEVER).unwrap();
        assert_eq!(turns.held(), 100);
    }

    #[test]
    fn who_waits_for_its_client_holds_up_nobody() {
        let turns = turns(1, u64::MAX, None);
        let (first, second) = (large(&turns, 1), large(&turns, 1));
        first.step(NEVER).unwrap();
        first.resting(|| second.step(NEVER)).unwrap();
        assert!(waits(&first));
        second.rest();
        first.step(NEVER).unwrap();
    }

    #[test]
    fn memory_is_given_in_order_of_arrival() {
        let turns = turns(4, 100, Some(2));
        let first = large(&turns, 80);
        first.step(NEVER).unwrap();
        let (second, third, fourth) = (large(&turns, 90), large(&turns, 10), large(&turns, 1));
        assert!(waits(&second) && waits(&third), "the third would fit, but the second is first");
        assert!(matches!(fourth.step(NEVER), Err(SourceError::Busy)));
        drop(fourth);
        assert_eq!(turns.standing(), (1, 2));
        first.needs(5);
        second.step(NEVER).unwrap();
        assert!(waits(&third));
        drop(second);
        third.step(NEVER).unwrap();
        drop(third);
        drop(first);
        assert_eq!(turns.standing(), (0, 0));
    }

    #[test]
    fn one_larger_than_everything_is_served_alone() {
        let turns = turns(2, 100, None);
        let first = large(&turns, 1000);
        first.step(NEVER).unwrap();
        let second = large(&turns, 1);
        assert!(waits(&second));
        drop(second); // one that waits has nothing to give back
        drop(first);
        assert_eq!(turns.standing(), (0, 0));
    }

    #[test]
    fn many_threads_of_many_requests_come_through() {
        let turns = turns(2, 10, None);
        let all = Barrier::new(12);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                let turn = Arc::new(large(&turns, 4));
                for _ in 0..2 {
                    let (turn, all) = (Arc::clone(&turn), &all);
                    scope.spawn(move || {
                        all.wait();
                        for _ in 0..50 {
                            turn.step(NEVER).unwrap();
                            turn.resting(std::thread::yield_now);
                        }
                    });
                }
            }
        });
        assert_eq!(turns.standing(), (0, 0));
    }
}
