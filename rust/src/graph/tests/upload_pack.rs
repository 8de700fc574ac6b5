//! Dialogues with real `git upload-pack`: what it says about boundaries, and what it sends.

use std::collections::BTreeSet;

use super::repo::{TestRepo, ids};
use crate::hash::ObjectId;

/// What upload-pack answered.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) shallow: BTreeSet<ObjectId>,
    pub(crate) unshallow: BTreeSet<ObjectId>,
    pub(crate) ready: bool,
    pub(crate) objects: BTreeSet<ObjectId>,
    pub(crate) error: String,
}

fn pkt(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

/// One stateless `fetch` with these argument lines.
pub(crate) fn fetch(repo: &TestRepo, lines: &[String]) -> Answer {
    let mut input = pkt("command=fetch") + &pkt(&format!("object-format={}", repo.kind().name()));
    input += "0001";
    lines.iter().for_each(|line| input += &pkt(line));
    input += "0000";
    let env = [("GIT_PROTOCOL", "version=2")];
    let config = ["-c", "uploadpack.allowFilter=true", "-c", "uploadpack.allowAnySHA1InWant=true"];
    let args = [&config[..], &["upload-pack", "--stateless-rpc", "."]].concat();
    let (_, out, err) = repo.talk(&args, &env, input.as_bytes());
    let mut answer =
        Answer { error: String::from_utf8_lossy(&err).into_owned(), ..Answer::default() };
    let (mut rest, mut pack, mut in_pack) = (&out[..], Vec::new(), false);
    while rest.len() >= 4 {
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..4]).unwrap(), 16).unwrap();
        let line = if len > 4 { &rest[4..len] } else { &[] };
        rest = &rest[len.max(4)..];
        if in_pack {
            if line.first() == Some(&1) {
                pack.extend_from_slice(&line[1..]);
            }
            continue;
        }
        let text = std::str::from_utf8(line).unwrap().trim_end();
        match text.split_once(' ') {
            Some(("shallow", id)) => answer.shallow.append(&mut ids(id.as_bytes())),
            Some(("unshallow", id)) => answer.unshallow.append(&mut ids(id.as_bytes())),
            Some(("ERR", why)) => answer.error.push_str(why),
            _ if text == "ready" => answer.ready = true,
            _ if text == "packfile" => in_pack = true,
            _ => {}
        }
    }
    if !pack.is_empty() {
        answer.objects = repo.listing(&pack);
    }
    answer
}
