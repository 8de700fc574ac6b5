//! Many conversations at once, and how long they took.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::conversation::Conversation;
use crate::known::Known;
use crate::replay::{Outcome, replay};

/// What to ask, and how.
pub struct Plan {
    pub address: SocketAddr,
    pub conversations: Vec<Conversation>,
    pub connections: usize,
    pub requests: usize,
    /// The first conversation to take; after the last one it begins anew with the file's first.
    pub first: usize,
    /// Connection `n` of `c` takes the conversations `n`, `n + c`, `n + 2c` ... in this order,
    /// because each goes on from what the one before has done. Otherwise each takes the next one
    /// that nobody has taken.
    pub lanes: bool,
    /// After so long no further request is begun.
    pub time: Duration,
    /// Before so long has passed there are further requests, beyond their number, but in lanes. A
    /// fast server is done with a number that takes a slow one seconds before the processors' caches
    /// are its own.
    pub least: Duration,
}

/// Each connection begins so much later than the one before it. A server with a short backlog, as
/// git daemon's of five, otherwise loses the first packet of some, and these wait a second for the
/// kernel to say it again: with few requests that would be all that is measured.
const APART: Duration = Duration::from_millis(1);

/// Each with the number of the conversation that was replayed.
type Outcomes = Vec<(usize, Result<Outcome, String>)>;

/// Which requests one connection makes.
fn requests<'a>(
    plan: &'a Plan,
    lane: usize,
    next: &'a AtomicUsize,
    began: Instant,
) -> Box<dyn Iterator<Item = usize> + 'a> {
    let (connections, count) = (plan.connections, plan.requests);
    if plan.lanes {
        Box::new((lane..count).step_by(connections))
    } else {
        Box::new(
            std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)))
                .take_while(move |number| *number < count || began.elapsed() < plan.least),
        )
    }
}

/// A closed loop: every connection makes its next request when the one before is answered.
fn run(plan: &Plan) -> (Outcomes, Duration) {
    let next = AtomicUsize::new(0);
    let known: Vec<_> = plan.conversations.iter().map(Known::of).collect();
    let began = Instant::now();
    let outcomes = std::thread::scope(|scope| {
        let (next, known) = (&next, &known);
        let workers: Vec<_> = (0..plan.connections)
            .map(|lane| {
                scope.spawn(move || {
                    std::thread::sleep(APART * u32::try_from(lane).unwrap_or(u32::MAX));
                    let mut buffer = vec![0; 1 << 18];
                    requests(plan, lane, next, began)
                        .take_while(|_| began.elapsed() < plan.time)
                        .map(|number| {
                            let at = (plan.first + number) % plan.conversations.len();
                            let said = &plan.conversations[at];
                            let known = &known[at];
                            let keep = &mut |_: usize, _: &[u8]| Ok(());
                            (at, replay(plan.address, said, known, &mut buffer, keep))
                        })
                        .collect::<Outcomes>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| {
                worker.join().expect("replay does not panic because it returns errors")
            })
            .collect()
    });
    (outcomes, began.elapsed())
}

/// The value that `share` of the sorted ones do not exceed.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = (last as f64 * share).round() as usize;
    sorted[at].as_secs_f64() * 1000.0
}

/// How many bytes answered each conversation and how long that took, means where it was replayed
/// several times.
///
/// Servers that are asked for the same time get to different ends of a list. Only with these numbers
/// can they be compared over the same questions.
#[derive(Default)]
struct Answers(BTreeMap<usize, Answered>);

#[derive(Default)]
struct Answered {
    times: u32,
    bytes: u64,
    took: Duration,
}

impl Answers {
    fn add(&mut self, conversation: usize, bytes: u64, took: Duration) {
        let answered = self.0.entry(conversation).or_default();
        answered.times += 1;
        answered.bytes += bytes;
        answered.took += took;
    }

    /// The bytes, as an object of JSON.
    fn bytes(&self) -> String {
        self.told(|one| (one.bytes / u64::from(one.times)).to_string())
    }

    /// The milliseconds.
    fn took(&self) -> String {
        self.told(|one| format!("{:.3}", (one.took / one.times).as_secs_f64() * 1000.0))
    }

    fn told(&self, value: impl Fn(&Answered) -> String) -> String {
        let told: Vec<String> =
            self.0.iter().map(|(at, one)| format!("\"{at}\": {}", value(one))).collect();
        format!("{{{}}}", told.join(", "))
    }
}

/// Carries out the plan; the result is a line of JSON.
pub fn report(plan: &Plan) -> String {
    let (outcomes, took) = run(plan);
    let mut whole = Vec::new();
    let mut first = Vec::new();
    let mut bytes = 0;
    let mut errors = 0;
    let mut answers = Answers::default();
    for (at, outcome) in outcomes {
        match outcome {
            Ok(outcome) => {
                whole.push(outcome.whole);
                first.push(outcome.first);
                bytes += outcome.bytes;
                // what a push is told says nothing, and depends on what was pushed before
                if !plan.lanes {
                    answers.add(at, outcome.bytes, outcome.whole);
                }
            }
            Err(message) => {
                if errors == 0 {
                    eprintln!("loadgen: {message}");
                }
                errors += 1;
            }
        }
    }
    whole.sort_unstable();
    first.sort_unstable();
    format!(
        "{{\"requests\": {}, \"errors\": {errors}, \"seconds\": {:.6}, \"bytes\": {bytes}, \
         \"p50_ms\": {:.4}, \"p99_ms\": {:.4}, \"first_p50_ms\": {:.4}, \"first_p99_ms\": {:.4}, \
         \"answers\": {}, \"took_ms\": {}}}",
        whole.len(),
        took.as_secs_f64(),
        quantile(&whole, 0.5),
        quantile(&whole, 0.99),
        quantile(&first, 0.5),
        quantile(&first, 0.99),
        answers.bytes(),
        answers.took(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_by_conversation() {
        let mut answers = Answers::default();
        assert_eq!(answers.bytes(), "{}");
        for (at, bytes, micros) in [(7, 30, 1000), (2, 10, 20), (7, 50, 2000)] {
            answers.add(at, bytes, Duration::from_micros(micros));
        }
        assert_eq!(answers.bytes(), r#"{"2": 10, "7": 40}"#);
        assert_eq!(answers.took(), r#"{"2": 0.020, "7": 1.500}"#);
    }

    #[test]
    fn requests_go_on_until_both_their_number_and_the_time_are_over() {
        let plan = |lanes, least| Plan {
            address: ([127, 0, 0, 1], 1).into(),
            conversations: Vec::new(),
            connections: 2,
            requests: 5,
            first: 0,
            lanes,
            time: Duration::MAX,
            least,
        };
        let taken = |lanes, least| -> Vec<usize> {
            let next = AtomicUsize::new(0);
            requests(&plan(lanes, least), 1, &next, Instant::now()).take(9).collect()
        };
        assert_eq!(taken(false, Duration::ZERO), [0, 1, 2, 3, 4]);
        assert_eq!(taken(false, Duration::MAX), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(taken(true, Duration::MAX), [1, 3]);
    }
}
