//! Reading, with real git as the judge of what is told about the refs of a repository.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use super::testing::{Repo, all_gits, git, git_at, run, run_args};
use super::{AdvertiseOptions, Head, LsRefsOptions, RefError, RefStore};
use crate::hash::{HashKind, ObjectId};

const KINDS: [HashKind; 2] = [HashKind::Sha1, HashKind::Sha256];

fn store(repo: &Repo) -> RefStore {
    RefStore::open(&repo.git_dir(), None, repo.kind)
}

/// Packets with a `|` after each, the first one's capabilities taken off.
fn show(bytes: &[u8]) -> String {
    let mut shown = String::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..4]).unwrap(), 16).unwrap();
        let packet = rest.get(4..len).unwrap_or_default();
        let line = packet.split(|&byte| byte == 0).next().unwrap();
        let length_is_free = line.len() != packet.len();
        shown += &if length_is_free { String::new() } else { format!("{len:04x} ") };
        shown += &String::from_utf8_lossy(line);
        shown += "|";
        rest = &rest[len.max(4)..];
    }
    shown
}

fn advertised(program: &Path, dir: &Path, service: &str) -> Vec<u8> {
    let out = git_at(program, dir).args([service, "--advertise-refs", "."]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

fn pkt(line: &str) -> String {
    format!("{:04x}{line}\n", line.len() + 5)
}

fn ls_refs_of_git(program: &Path, dir: &Path, options: &LsRefsOptions<'_>) -> Vec<u8> {
    let format = run(dir, "rev-parse --show-object-format");
    let mut request = pkt("command=ls-refs") + &pkt(&format!("object-format={format}")) + "0001";
    for (asked, word) in
        [(options.peel, "peel"), (options.symrefs, "symrefs"), (options.unborn, "unborn")]
    {
        request += &if asked { pkt(word) } else { String::new() };
    }
    for prefix in options.prefixes {
        request += &pkt(&format!("ref-prefix {}", String::from_utf8_lossy(prefix)));
    }
    request += "0000";
    let mut child = git_at(program, dir)
        .args(["upload-pack", "--stateless-rpc", "."])
        .env("GIT_PROTOCOL", "version=2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// Everything that a client may ask for is answered as every git here answers it.
fn assert_same_as_git(repo: &Repo) {
    assert_same_in(repo.path(), &store(repo), repo);
}

fn assert_same_in(dir: &Path, store: &RefStore, repo: &Repo) {
    let snapshot = store.snapshot().unwrap();
    let objects = repo.objects();
    for program in all_gits() {
        for (receive, service) in [(false, "upload-pack"), (true, "receive-pack")] {
            let options =
                AdvertiseOptions { capabilities: b"x", receive, ..AdvertiseOptions::default() };
            let theirs = show(&advertised(&program, dir, service));
            for _ in 0..2 {
                let ours = snapshot.advertisement(&objects, &options).unwrap().to_vec();
                let ours = show(&ours);
                if theirs == "0000 |" {
                    // older gits tell nothing at all of an empty repository
                    assert!(ours.ends_with(" capabilities^{}|0000 |"), "{ours}");
                } else {
                    assert_eq!(ours, theirs, "{service} of {program:?}");
                }
            }
        }
        let prefix_sets: [&[&[u8]]; 6] = [
            &[],
            &[b"HEAD"],
            &[b"refs/heads/", b"refs/tags/"],
            &[b"refs/heads/m", b"refs/heads/main", b"HEAD", b"refs/tags/v1"],
            &[b"H", b"refs/heads/main"],
            &[b"nothing", b"refs/zzz"],
        ];
        for prefixes in prefix_sets {
            for bits in 0..8 {
                let (peel, symrefs, unborn) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
                if prefixes.len() == 2 && bits % 3 != 0 {
                    continue; // enough is enough: each git run takes its time
                }
                let options = LsRefsOptions { prefixes, peel, symrefs, unborn, client: None };
                let theirs = show(&ls_refs_of_git(&program, dir, &options));
                for _ in 0..2 {
                    let ours = show(&snapshot.ls_refs(&objects, &options).unwrap());
                    assert_eq!(ours, theirs, "{options:?} of {program:?}");
                }
            }
        }
    }
}

#[test]
fn packed_loose_symbolic_and_tagged_refs_in_both_formats() {
    for kind in KINDS {
        let repo = Repo::new(kind);
        repo.git("tag -a -m t v1");
        repo.git("-c advice.nestedTag=false tag -a -m t v1-of-a-tag v1");
        repo.git("tag light");
        repo.git("branch feature/a/b/c");
        repo.git("branch main-2");
        repo.git("pack-refs --all");
        repo.git("-c advice.nestedTag=false tag -a -m t loose-tag v1");
        repo.git("commit -q --allow-empty -m two");
        repo.git("branch feature/a-b");
        repo.git("symbolic-ref refs/remotes/origin/HEAD refs/heads/main");
        repo.git("symbolic-ref refs/heads/dangling refs/heads/nowhere");
        assert_same_as_git(&repo);
        let snapshot = store(&repo).snapshot().unwrap();
        assert_eq!(snapshot.get(b"HEAD"), Some(repo.id("HEAD")));
        assert_eq!(snapshot.get(b"refs/heads/main-2"), Some(repo.id("HEAD~1")));
        assert_eq!(snapshot.get(b"refs/heads/dangling"), None);
        assert_eq!(snapshot.symbolic(b"refs/remotes/origin/HEAD"), Some(&b"refs/heads/main"[..]));
        assert_eq!(snapshot.symbolic(b"refs/heads/main"), None);
        let objects = repo.objects();
        for (name, peeled) in [
            ("refs/tags/v1-of-a-tag", Some(repo.id("HEAD~1"))),
            ("refs/tags/loose-tag", Some(repo.id("HEAD~1"))),
            ("refs/tags/light", None),
            ("refs/heads/main", None),
            ("refs/heads/absent", None),
        ] {
            assert_eq!(snapshot.peeled(name.as_bytes(), &objects).unwrap(), peeled, "{name}");
        }
        assert_eq!(snapshot.peeled_tags(&objects).unwrap().len(), 3);
        let listed: Vec<String> = snapshot
            .items(b"")
            .map(|(name, id)| format!("{id} {}", String::from_utf8_lossy(name)))
            .collect();
        let theirs = run_args(repo.path(), &["for-each-ref", "--format=%(objectname) %(refname)"]);
        assert_eq!(listed.join("\n"), theirs);
        assert_eq!(snapshot.len(), listed.len());
        assert_eq!(snapshot.items(b"refs/tags/").count(), 4);
    }
}

#[test]
fn head_in_all_its_states() {
    for kind in KINDS {
        let repo = Repo::new(kind);
        let id = repo.id("HEAD");
        repo.git("checkout -q --detach");
        assert_same_as_git(&repo);
        assert_eq!(*store(&repo).snapshot().unwrap().head(), Head::Detached(id));
        repo.git("symbolic-ref HEAD refs/heads/unborn");
        assert_same_as_git(&repo);
        let target = b"refs/heads/unborn".to_vec();
        let snapshot = store(&repo).snapshot().unwrap();
        assert_eq!(*snapshot.head(), Head::Symbolic { target, id: None });
        assert_eq!(snapshot.symbolic(b"HEAD"), Some(&b"refs/heads/unborn"[..]));
        assert_eq!(snapshot.get(b"HEAD"), None);
        repo.git("update-ref -d refs/heads/main");
        assert_same_as_git(&repo);
        std::fs::remove_file(repo.git_dir().join("HEAD")).unwrap();
        assert_eq!(*store(&repo).snapshot().unwrap().head(), Head::Missing);
        repo.write("HEAD", "nonsense");
        let snapshot = store(&repo).snapshot().unwrap();
        assert_eq!(*snapshot.head(), Head::Missing);
        assert_eq!(snapshot.warnings(), ["ignoring broken ref HEAD"]);
        std::fs::remove_file(repo.git_dir().join("HEAD")).unwrap();
        std::os::unix::fs::symlink("refs/heads/old-way", repo.git_dir().join("HEAD")).unwrap();
        let head = store(&repo).snapshot().unwrap().symbolic(b"HEAD").map(<[u8]>::to_vec);
        assert_eq!(head, Some(b"refs/heads/old-way".to_vec()));
    }
}

#[test]
fn chains_of_symbolic_refs_end_where_git_ends_them() {
    let repo = Repo::new(HashKind::Sha1);
    let mut target = "main".to_owned();
    for depth in 1..8 {
        repo.write(&format!("refs/heads/d{depth}"), &format!("ref: refs/heads/{target}\n"));
        target = format!("d{depth}");
    }
    repo.write("refs/heads/loop", "ref: refs/heads/loop\n");
    assert_same_as_git(&repo);
    for depth in 1..8 {
        repo.write("HEAD", &format!("ref: refs/heads/d{depth}\n"));
        let ours = store(&repo).snapshot().unwrap();
        let theirs = git(repo.path()).args(["rev-parse", "-q", "--verify", "HEAD"]).output();
        assert_eq!(ours.get(b"HEAD").is_some(), theirs.unwrap().status.success(), "{depth}");
    }
}

/// Git tells broken refs with an id of zeros, which no client can use; here they are left out,
/// and hide packed refs of their names as they do in git.
#[test]
fn broken_refs_are_left_out_and_named() {
    let repo = Repo::new(HashKind::Sha1);
    repo.git("branch packed");
    repo.git("pack-refs --all");
    let id = repo.id("HEAD").to_hex();
    repo.write("refs/heads/empty", "");
    repo.write("refs/heads/packed", "garbage\n");
    repo.write("refs/heads/zeros", &"0".repeat(40));
    repo.write("refs/heads/bad..name", &id);
    repo.write("refs/heads/x.lock", &id);
    repo.write("refs/heads/.hidden", &id);
    repo.write("refs/heads/trailing", &format!("{id} and more"));
    repo.write("refs/heads/huge", &"x".repeat(1 << 20));
    std::os::unix::fs::symlink("nowhere", repo.git_dir().join("refs/heads/dangling")).unwrap();
    std::os::unix::fs::symlink("trailing", repo.git_dir().join("refs/heads/link")).unwrap();
    let snapshot = store(&repo).snapshot().unwrap();
    let names: Vec<_> =
        snapshot.items(b"").map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    assert_eq!(names, ["refs/heads/link", "refs/heads/main", "refs/heads/trailing"]);
    let broken = ["empty", "huge", "packed", "zeros"];
    assert_eq!(snapshot.warnings(), broken.map(|b| format!("ignoring broken ref refs/heads/{b}")));
}

/// As git does: whether its object exists is not the question of an advertisement.
#[test]
fn refs_to_missing_objects_are_told() {
    let repo = Repo::new(HashKind::Sha1);
    let missing = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
    repo.write("refs/heads/missing", missing);
    let tag = |kind: &str| {
        let text = format!("object {missing}\ntype {kind}\ntag x\ntagger a <a@x> 1 +0000\n\nx\n");
        std::fs::write(repo.path().join("tag"), text).unwrap();
        repo.git("hash-object -t tag -w --literally tag")
    };
    repo.write("refs/tags/to-missing-commit", &tag("commit"));
    repo.write("refs/tags/to-missing-tag", &tag("tag"));
    std::fs::write(repo.path().join("tag"), "garbage").unwrap();
    repo.write("refs/tags/garbage", &repo.git("hash-object -t tag -w --literally tag"));
    assert_same_as_git(&repo);
    repo.write("HEAD", missing);
    assert_same_as_git(&repo);
    let id = ObjectId::from_hex(missing.as_bytes()).unwrap();
    assert!(store(&repo).snapshot().unwrap().has_tip(&id));
}

#[test]
fn a_corrupt_packed_refs_is_an_error_that_names_it() {
    let repo = Repo::new(HashKind::Sha1);
    let id = repo.id("HEAD").to_hex();
    repo.write("packed-refs", &format!("{id} refs/heads/a\ngarbage\n"));
    let error = store(&repo).snapshot().unwrap_err();
    assert!(matches!(error, RefError::Corrupt { line: 2, .. }));
    assert!(error.to_string().contains(".git/packed-refs:2: "));
    repo.write("packed-refs", &format!("{id} refs/heads/b\n{id} refs/heads/a\n"));
    assert_same_as_git(&repo);
}

#[test]
fn linked_worktrees_have_their_own_head_and_bisection() {
    let repo = Repo::new(HashKind::Sha1);
    let outside = tempfile::tempdir().unwrap();
    let linked = outside.path().join("wt");
    run_args(repo.path(), &["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    repo.git("update-ref refs/bisect/main HEAD");
    run(&linked, "update-ref refs/bisect/linked HEAD");
    run(&linked, "update-ref refs/worktree/x HEAD");
    let git_dir = run(&linked, "rev-parse --absolute-git-dir");
    let store = RefStore::open(Path::new(&git_dir), Some(&repo.git_dir()), repo.kind);
    assert_same_in(&linked, &store, &repo);
    assert_same_as_git(&repo);
    assert_eq!(store.snapshot().unwrap().head().target(), Some(&b"refs/heads/side"[..]));
    run(&linked, "update-ref -d refs/worktree/x");
    assert_same_in(&linked, &store, &repo);
}

#[test]
fn haves_and_shallow_lines_come_last() {
    let origin = Repo::new(HashKind::Sha1);
    origin.git("commit -q --allow-empty -m two");
    origin.git("branch other HEAD~1");
    let dir = tempfile::tempdir().unwrap();
    let from = origin.path().to_str().unwrap();
    run_args(dir.path(), &["clone", "-q", "--bare", "-s", "--single-branch", from, "copy"]);
    let copy = dir.path().join("copy");
    let objects = origin.objects();
    let theirs = |dir: &Path, service| show(&advertised(Path::new("git"), dir, service));
    let haves = [origin.id("HEAD"), origin.id("other"), origin.id("other")];
    let mut options = AdvertiseOptions { receive: true, haves: &haves, ..Default::default() };
    let ours = |options: &AdvertiseOptions<'_>, dir: &Path| {
        let snapshot = RefStore::open(dir, None, HashKind::Sha1).snapshot().unwrap();
        show(&snapshot.advertisement(&objects, options).unwrap().to_vec())
    };
    assert_eq!(ours(&options, &copy), theirs(&copy, "receive-pack"));
    run(&copy, "update-ref -d refs/heads/main");
    assert_eq!(ours(&options, &copy), theirs(&copy, "receive-pack"));
    let url = format!("file://{from}");
    run_args(dir.path(), &["clone", "-q", "--bare", "--depth=1", &url, "shallow"]);
    let shallow = [origin.id("HEAD")];
    (options.haves, options.shallow) = (&[], &shallow);
    let dir = dir.path().join("shallow");
    assert_eq!(ours(&options, &dir), theirs(&dir, "receive-pack"));
    options.receive = false;
    assert_eq!(ours(&options, &dir), theirs(&dir, "upload-pack"));
}

#[test]
fn capabilities_follow_the_first_nul() {
    let repo = Repo::new(HashKind::Sha1);
    let objects = repo.objects();
    let snapshot = store(&repo).snapshot().unwrap();
    let tell = |capabilities: &[u8]| {
        let options = AdvertiseOptions { capabilities, ..AdvertiseOptions::default() };
        snapshot.advertisement(&objects, &options)
    };
    let id = repo.id("HEAD");
    let told = tell(b"thin-pack agent=x").unwrap();
    let expected = format!(
        "{:04x}{id} HEAD\0thin-pack agent=x\n003d{id} refs/heads/main\n0000",
        4 + 40 + 5 + 1 + 17 + 1
    );
    assert_eq!(String::from_utf8_lossy(&told.to_vec()), expected);
    assert!(matches!(tell(&vec![b'x'; 70_000]), Err(RefError::CapabilitiesTooLong(_))));
}

#[test]
fn what_is_said_again_leaves_in_one_piece() {
    let repo = Repo::new(HashKind::Sha1);
    let objects = repo.objects();
    let snapshot = store(&repo).snapshot().unwrap();
    let shallow = [repo.id("HEAD")];
    let options = |capabilities| AdvertiseOptions { capabilities, ..Default::default() };
    let with_shallow = AdvertiseOptions { shallow: &shallow, ..options(b"agent=x") };
    let pushed = AdvertiseOptions { receive: true, ..options(b"agent=x") };
    for said in [options(b"agent=x"), with_shallow, pushed, options(b"agent=longer"), options(b"")]
    {
        let pieces = snapshot.around(snapshot.advertised_lines(&objects, &said).unwrap().0, &said);
        let expected = pieces.unwrap().to_vec();
        for _ in 0..2 {
            let told = snapshot.advertisement(&objects, &said).unwrap();
            assert_eq!(told.parts(), [b"", &expected[..], b""]);
        }
    }
    let haves = [repo.id("HEAD:")];
    for once in [options(b"agent=x session-id=1"), AdvertiseOptions { haves: &haves, ..pushed }] {
        let told = snapshot.advertisement(&objects, &once).unwrap();
        assert!(!told.first.is_empty() && !told.last.is_empty());
    }
}

#[test]
fn a_remembered_listing_is_the_same() {
    let repo = Repo::new(HashKind::Sha1);
    let objects = repo.objects();
    let snapshot = store(&repo).snapshot().unwrap();
    let options = LsRefsOptions { prefixes: &[b"refs/"], peel: true, ..Default::default() };
    assert!(snapshot.remembered_ls_refs(&options).is_none());
    let said = snapshot.ls_refs(&objects, &options).unwrap();
    assert_eq!(snapshot.remembered_ls_refs(&options), Some(said));
    let other = LsRefsOptions { peel: false, ..options };
    assert!(snapshot.remembered_ls_refs(&other).is_none());
    repo.commit("more");
    assert!(store(&repo).snapshot().unwrap().remembered_ls_refs(&options).is_none());
}

#[test]
fn hidden_refs_are_nowhere() {
    let repo = Repo::new(HashKind::Sha1);
    repo.git("branch secret");
    repo.git("branch secretive");
    repo.git("update-ref refs/pull/1/head HEAD");
    let hidden_commit = repo.commit("hidden");
    repo.git(&format!("update-ref refs/pull/2/head {hidden_commit}"));
    repo.git("pack-refs --all");
    repo.git("update-ref refs/pull/3/head HEAD");
    let all = store(&repo).snapshot().unwrap();
    let objects = repo.objects();
    let sets: [&[&str]; 5] = [
        &["refs/pull", "refs/heads/secret"],
        &["refs/pull/", "!refs/pull/3", "HEAD"],
        &["refs", "!refs/heads/main", "^refs/heads/main"],
        &["!refs/pull", "refs/pull/2"],
        &["refs"],
    ];
    // some gits also hide what only begins with a pattern, against the documentation
    let program = all_gits().into_iter().next_back().unwrap();
    for patterns in sets {
        let values: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        let view = all.hidden(&values);
        let mut command = git_at(&program, repo.path());
        for pattern in patterns {
            command.args(["-c", &format!("transfer.hideRefs={pattern}")]);
        }
        let theirs = command.args(["upload-pack", "--advertise-refs", "."]).output().unwrap();
        let ours = view.advertisement(&objects, &AdvertiseOptions::default()).unwrap().to_vec();
        let without_secretive = |shown: String| shown.replace("refs/heads/secretive", "");
        if patterns.contains(&"refs/heads/secret") {
            assert!(show(&ours).contains("refs/heads/secretive"));
            assert!(!show(&ours).contains("refs/heads/secret|"));
        } else {
            assert_eq!(
                without_secretive(show(&ours)),
                without_secretive(show(&theirs.stdout)),
                "{patterns:?}"
            );
        }
    }
    let view = all.hidden(&[b"refs/pull"]);
    assert!(all.has_tip(&hidden_commit) && !view.has_tip(&hidden_commit));
    assert!(view.has_tip(&repo.id("HEAD")));
    assert_eq!(view.get(b"refs/pull/1/head"), None);
    assert_eq!(view.peeled(b"refs/pull/1/head", &objects).unwrap(), None);
    assert_eq!(view.items(b"refs/pull/").count(), 0);
    assert_eq!(view.len() + 3, all.len());
    let both = view.hidden(&[b"refs/heads/secret"]);
    assert_eq!(both.len() + 4, all.len());
    let options = LsRefsOptions { prefixes: &[b"refs/pull/"], ..LsRefsOptions::default() };
    assert_eq!(**both.ls_refs(&objects, &options).unwrap(), *b"0000");
    // the same patterns later find the answers of before
    let again = all.hidden(&[b"refs/pull"]);
    let options = LsRefsOptions::default();
    let first = view.ls_refs(&objects, &options).unwrap();
    assert!(Arc::ptr_eq(&first, &again.ls_refs(&objects, &options).unwrap()));
}

#[test]
fn an_unchanged_repository_has_one_snapshot_and_a_changed_one_another() {
    let repo = Repo::new(HashKind::Sha1);
    let store = store(&repo);
    let commit = repo.commit("another").to_hex();
    let mut last = store.snapshot().unwrap();
    assert!(Arc::ptr_eq(&last, &store.snapshot().unwrap()));
    let mut changes = |what: &str, change: &dyn Fn()| {
        change();
        let next = store.snapshot().unwrap();
        assert!(!Arc::ptr_eq(&last, &next), "{what}");
        assert!(Arc::ptr_eq(&next, &store.snapshot().unwrap()), "{what}");
        last = next;
    };
    // each within one tick of the clock after the one before
    changes("new", &|| repo.write("refs/heads/a", &commit));
    changes("in place", &|| repo.write("refs/heads/a", &repo.id("HEAD").to_hex()));
    changes("in place", &|| repo.write("refs/heads/a", &commit));
    changes("deep", &|| repo.write("refs/heads/b/c/d", &commit));
    changes("pack", &|| drop(repo.git("pack-refs --all")));
    changes("packed gone", &|| drop(repo.git("update-ref -d refs/heads/b/c/d")));
    changes("head", &|| drop(repo.git("symbolic-ref HEAD refs/heads/a")));
    changes("file to folder", &|| {
        drop(repo.git("update-ref -d --no-deref refs/heads/a"));
        repo.write("refs/heads/a/b", &commit);
    });
    changes("no packed", &|| std::fs::remove_file(repo.git_dir().join("packed-refs")).unwrap());
    changes("no refs", &|| std::fs::remove_dir_all(repo.git_dir().join("refs")).unwrap());
    assert!(last.is_empty());
}
