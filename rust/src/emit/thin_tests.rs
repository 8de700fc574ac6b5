//! What is a delta of something that the client has.

use super::tests::{client_with, delta_pack, expected, judged, pack_of, request};
use crate::hash::{HashKind, ObjectId};
use crate::store::testing::TestRepo;

/// Bytes that nothing makes smaller.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| step()).collect()
}

/// In the pack the new version of one file is a long delta of another file, which the client has
/// as well; of the version that it has it would be a short one.
#[test]
fn the_clients_version_is_a_better_base_than_another_file() {
    let repo = TestRepo::new(HashKind::Sha1);
    let blob = |content: &[u8]| {
        let out = repo.git_with(&["hash-object", "-w", "--stdin"], content);
        ObjectId::from_hex(out.trim_ascii()).unwrap()
    };
    let old = noise(1, 9000);
    let other = [&old[..2000], &noise(2, 8000)].concat();
    let new = [&old[..], b"more"].concat();
    let [old, other, new] = [old, other, new].map(|content| blob(&content));
    let commit = |file: ObjectId, parents: &[&str]| {
        let tree = format!("100644 blob {file}\tfile\n100644 blob {other}\tother\n");
        let tree = String::from_utf8(repo.git_with(&["mktree"], tree.as_bytes())).unwrap();
        let args = [&["commit-tree", "-m", "x", tree.trim()], parents].concat();
        ObjectId::from_hex(repo.git(&args).as_bytes()).unwrap()
    };
    let have = commit(old, &[]);
    let want = commit(new, &["-p", &have.to_string()]);
    let pack = delta_pack(&repo, other, new);
    repo.git_with(&["index-pack", "--stdin"], &pack);
    repo.git(&["prune-packed"]);
    let (pack, stats) = pack_of(&repo, request(&[want], &[have], true), true);
    let client = client_with(&repo, &[have]);
    assert_eq!(judged(&repo, &pack, Some(&client)), expected(&repo, &[want], &[have]));
    assert!(stats.bytes < 1000, "{} bytes", stats.bytes);
}
