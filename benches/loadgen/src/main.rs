//! Replays recorded `git://` conversations over many connections at once, and measures.
//!
//! In: a host, a port, a file of conversations, how many connections and requests. Out: one line
//! of JSON. Knows pkt-lines (Git's `gitprotocol-common`) just enough to tell where an answer ends:
//! in protocol v2, and in a push, every answer ends with a flush packet. A compiled program, so
//! that what is measured is the server and not the client.

mod conversation;
mod replay;

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conversation::Conversation;
use replay::{Outcome, replay};

struct Options {
    address: SocketAddr,
    conversations: Vec<Conversation>,
    connections: usize,
    requests: usize,
}

fn options() -> Result<Options, String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, file, connections, requests] = words.as_slice() else {
        return Err("usage: loadgen HOST PORT CONVERSATIONS CONNECTIONS REQUESTS".into());
    };
    let number = |word: &String| word.parse::<usize>().map_err(|error| format!("{word}: {error}"));
    let port: u16 = port.parse().map_err(|error| format!("{port}: {error}"))?;
    let address = (host.as_str(), port)
        .to_socket_addrs()
        .map_err(|error| format!("{host}: {error}"))?
        .next()
        .ok_or_else(|| format!("{host}: no address"))?;
    let bytes = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let conversations = conversation::parse(&bytes).ok_or_else(|| format!("{file}: cut off"))?;
    if conversations.is_empty() {
        return Err(format!("{file}: no conversations"));
    }
    Ok(Options {
        address,
        conversations,
        connections: number(connections)?.max(1),
        requests: number(requests)?,
    })
}

/// Every connection takes the next request until none is left: a closed loop.
fn run(options: &Options) -> (Vec<Result<Outcome, String>>, Duration) {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let outcomes = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.connections)
            .map(|_| {
                scope.spawn(|| {
                    let mut buffer = vec![0; 1 << 18];
                    let mut outcomes = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= options.requests {
                            return outcomes;
                        }
                        let conversation =
                            &options.conversations[number % options.conversations.len()];
                        outcomes.push(replay(options.address, conversation, &mut buffer));
                    }
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

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("loadgen: {message}");
            return ExitCode::from(2);
        }
    };
    let (outcomes, took) = run(&options);
    let mut whole = Vec::new();
    let mut first = Vec::new();
    let mut bytes = 0;
    let mut errors = 0;
    for outcome in outcomes {
        match outcome {
            Ok(outcome) => {
                whole.push(outcome.whole);
                first.push(outcome.first);
                bytes += outcome.bytes;
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
    println!(
        "{{\"requests\": {}, \"errors\": {errors}, \"seconds\": {:.6}, \"bytes\": {bytes}, \
         \"p50_ms\": {:.4}, \"p99_ms\": {:.4}, \"first_p50_ms\": {:.4}, \"first_p99_ms\": {:.4}}}",
        whole.len(),
        took.as_secs_f64(),
        quantile(&whole, 0.5),
        quantile(&whole, 0.99),
        quantile(&first, 0.5),
        quantile(&first, 0.99),
    );
    ExitCode::SUCCESS
}
