//! Replays recorded `git://` conversations over many connections at once, and measures.
//!
//! In: a command. `replay` asks a server and prints one line of JSON; `answers` asks each
//! conversation once and keeps what the server said; `limit` is a server that knows these answers
//! and sends each with one `sendfile`: what the machine can do. Knows pkt-lines (Git's
//! `gitprotocol-common`) just enough to tell where an answer ends: in protocol v2, in a push, and
//! wherever a pack comes on a side band, every answer ends with a flush packet. A compiled program
//! that does no more than it has to, so that what is measured is the server and not the client.

mod answers;
mod conversation;
mod known;
mod limit;
mod measure;
mod packets;
mod replay;
mod socket;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use conversation::Conversation;
use measure::Plan;

const USAGE: &str =
    "usage: loadgen replay HOST PORT CONVERSATIONS CONNECTIONS REQUESTS FIRST any|lanes SECONDS LEAST
       loadgen answers HOST PORT CONVERSATIONS ANSWERS
       loadgen limit HOST PORT CONVERSATIONS ANSWERS THREADS";

fn number(word: &str) -> Result<usize, String> {
    word.parse().map_err(|error| format!("{word}: {error}"))
}

fn duration(seconds: &str) -> Result<Duration, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{seconds}: {error}");
    let seconds: f64 = seconds.parse().map_err(|error| wrong(&error))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| wrong(&error))
}

fn address(host: &str, port: &str) -> Result<SocketAddr, String> {
    let port: u16 = port.parse().map_err(|error| format!("{port}: {error}"))?;
    (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("{host}: {error}"))?
        .next()
        .ok_or_else(|| format!("{host}: no address"))
}

fn conversations(file: &str) -> Result<Vec<Conversation>, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let conversations = conversation::parse(&bytes).ok_or_else(|| format!("{file}: cut off"))?;
    if conversations.is_empty() {
        return Err(format!("{file}: no conversations"));
    }
    Ok(conversations)
}

fn run(words: &[&str]) -> Result<(), String> {
    match words {
        ["replay", host, port, file, connections, requests, first, order, seconds, least] => {
            let plan = Plan {
                address: address(host, port)?,
                conversations: conversations(file)?,
                connections: number(connections)?.max(1),
                requests: number(requests)?,
                first: number(first)?,
                lanes: *order == "lanes",
                time: duration(seconds)?,
                least: duration(least)?,
            };
            println!("{}", measure::report(&plan));
            Ok(())
        }
        ["answers", host, port, file, out] => {
            answers::keep(address(host, port)?, &conversations(file)?, Path::new(out))
        }
        ["limit", host, port, file, answers, threads] => limit::serve(
            address(host, port)?,
            &conversations(file)?,
            Path::new(answers),
            number(threads)?.max(1),
        ),
        _ => Err(USAGE.into()),
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("loadgen: {message}");
            ExitCode::from(2)
        }
    }
}
