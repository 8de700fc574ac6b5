//! Packs without what their client gets elsewhere.

use std::sync::Arc;

use super::tests::{collect, expected, request};
use super::{EmitError, PackStream, StreamOptions};
use crate::graph::WalkRequest;
use crate::hash::{HashKind, ObjectId};
use crate::plan::PlanOptions;
use crate::store::testing::TestRepo;

fn start(repo: &TestRepo, request: WalkRequest) -> PackStream {
    let (plan, out) = (PlanOptions::default(), StreamOptions::default());
    PackStream::start(repo.snapshot(), Arc::clone(repo.store().commits()), request, plan, out)
}

#[test]
fn what_the_client_gets_elsewhere_stays_behind() {
    let repo = TestRepo::with_history(HashKind::Sha1, 40);
    let tip = repo.id("main");
    let all = expected(&repo, &[tip], &[]);
    let listed = repo.git(&["ls-tree", "-r", "--format=%(objectname)", "main"]);
    let ids = listed.lines().map(|hex| ObjectId::from_hex(hex.as_bytes()).unwrap());
    let mut there: Vec<ObjectId> = ids.take(3).collect();
    there.sort_unstable();
    there.dedup();
    let mut elsewhere = there.clone();
    elsewhere.push(ObjectId::from_hex(&[b'1'; 40]).unwrap());
    elsewhere.push(there[0]);
    for with_bitmaps in [false, true] {
        if with_bitmaps {
            repo.git(&["repack", "-adbq"]);
        }
        let asked = WalkRequest { leave_out: elsewhere.clone(), ..request(&[tip], &[], false) };
        let mut stream = start(&repo, asked);
        let mut told = stream.left_out().unwrap();
        told.sort_unstable();
        assert_eq!(told, there);
        assert_eq!(stream.left_out().unwrap(), []);
        let (pack, _, stats) = collect(stream, 65520).unwrap();
        assert_eq!(stats.objects as usize, all.len() - there.len());
        let client = TestRepo::new(HashKind::Sha1);
        client.git_with(&["index-pack", "--stdin"], &pack);
        let held = client.git(&["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
        let names: Vec<String> = there.iter().map(ToString::to_string).collect();
        let rest: Vec<&str> = all.iter().map(String::as_str).collect();
        let rest: Vec<&str> =
            rest.into_iter().filter(|id| !names.iter().any(|name| name == id)).collect();
        assert_eq!(held.lines().collect::<Vec<_>>(), rest);
    }
}

#[test]
fn nobody_has_to_ask_what_was_left_out() {
    let repo = TestRepo::with_history(HashKind::Sha1, 5);
    let tip = repo.id("main");
    let asked = WalkRequest { leave_out: vec![tip], ..request(&[tip], &[], false) };
    let (pack, ..) = collect(start(&repo, asked), 65520).unwrap();
    assert_eq!(&pack[..4], b"PACK");
    assert_eq!(start(&repo, request(&[tip], &[], false)).left_out().unwrap(), []);
}

#[test]
fn what_goes_wrong_before_is_told() {
    let repo = TestRepo::with_history(HashKind::Sha1, 5);
    let unknown = ObjectId::from_hex(&[b'1'; 40]).unwrap();
    let tip = repo.id("main");
    let asked = WalkRequest { leave_out: vec![tip], ..request(&[unknown], &[], false) };
    assert!(matches!(start(&repo, asked).left_out(), Err(EmitError::Source(_))));
}
