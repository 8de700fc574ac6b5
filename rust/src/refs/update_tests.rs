//! Writing, with real git as the judge of what is there afterwards.

use std::path::Path;

use super::testing::{COMMITTER, Fixture, Repo, atomic, delete, plain, run_args, set, swap};
use super::{RefStore, RefUpdate, Reflog, UpdateError, UpdateOptions};
use crate::hash::{HashKind, ObjectId};

#[test]
fn refs_are_made_moved_and_deleted_loose_and_packed() {
    for kind in [HashKind::Sha1, HashKind::Sha256] {
        let it = Fixture::new(kind);
        it.repo.git("tag -a -m t v1");
        it.repo.git("branch packed");
        it.repo.git("branch both");
        it.repo.git("branch goes");
        it.repo.git("pack-refs --all");
        let results = it.update(
            &[
                set("refs/heads/new/deep/down", it.one),
                swap("refs/heads/packed", it.one, it.two),
                swap("refs/heads/fresh", it.null(), it.three),
                set("refs/heads/both", it.two),
                delete("refs/heads/goes"),
                delete("refs/heads/never-was"),
            ],
            &plain(),
        );
        assert_eq!(results, ["ok"; 6]);
        assert_eq!(it.repo.id("packed"), it.two);
        assert_eq!(it.repo.id("new/deep/down"), it.one);
        // loose over packed, and both go
        let null = it.null();
        let results = it.update(
            &[
                swap("refs/heads/both", it.two, null),
                delete("refs/heads/new/deep/down"),
                RefUpdate { name: b"refs/tags/v1", old: Some(it.repo.id("v1")), new: Some(null) },
            ],
            &plain(),
        );
        assert_eq!(results, ["ok"; 3]);
        assert!(it.repo.git("branch --list both goes").is_empty());
        assert!(!it.repo.git_dir().join("refs/heads/new").exists(), "empty folders go");
        assert!(it.locks().is_empty());
    }
}

#[test]
fn only_who_knows_the_value_may_change_it() {
    let it = Fixture::new(HashKind::Sha1);
    it.repo.git("branch packed");
    it.repo.git("pack-refs --all");
    it.repo.git("branch loose");
    let null = it.null();
    for name in ["refs/heads/loose", "refs/heads/packed"] {
        let at_one = format!("is at {}", it.one);
        for new in [it.three, null] {
            let wrong = it.update(&[swap(name, it.two, new)], &plain());
            assert_eq!(wrong, [format!("incorrect old value provided: {at_one}")]);
            let exists = it.update(&[swap(name, null, new)], &plain());
            assert_eq!(exists, [format!("reference already exists: {at_one}")]);
        }
    }
    for new in [it.three, null] {
        let absent = it.update(&[swap("refs/heads/absent", it.one, new)], &plain());
        assert_eq!(absent, ["reference does not exist"]);
    }
    let lost = it.store.update(&[swap("refs/heads/loose", it.two, it.three)], &plain());
    assert!(matches!(&lost[..], [Err(error)] if error.is_lost_race()));
    assert_eq!(it.repo.id("loose"), it.one);
    // to what it is already
    assert_eq!(it.update(&[swap("refs/heads/packed", it.one, it.one)], &plain()), ["ok"]);
    assert!(!it.repo.git_dir().join("refs/heads/packed").exists());
    assert!(it.locks().is_empty());
}

#[test]
fn atomic_is_all_or_nothing() {
    let it = Fixture::new(HashKind::Sha1);
    it.repo.git("branch a");
    it.repo.git("branch b");
    let before = it.repo.git("for-each-ref");
    let good = [set("refs/heads/a", it.two), delete("refs/heads/b"), set("refs/heads/c", it.one)];
    for bad in [
        swap("refs/heads/x", it.one, it.two),
        set("refs/heads/bad..name", it.two),
        set("refs/heads/c/d", it.two),
        set("refs/heads/main/d", it.two),
        set("refs/heads/c", it.two),
        set("refs/heads/b/under-deleted", it.two),
    ] {
        let mut updates = good.to_vec();
        updates.push(bad);
        let results = it.store.update(&updates, &atomic());
        assert!(results.iter().all(Result::is_err), "{bad:?}");
        assert!(matches!(results[0], Err(UpdateError::Atomic)));
        assert_eq!(it.repo.git("for-each-ref"), before);
        assert!(it.locks().is_empty() && !it.repo.git_dir().join("refs/heads/c").exists());
    }
    assert_eq!(it.update(&good, &atomic()), ["ok"; 3]);
    assert_eq!(it.repo.id("a"), it.two);
}

#[test]
fn without_atomic_each_has_its_own_fate() {
    let it = Fixture::new(HashKind::Sha1);
    it.repo.git("branch a");
    let results = it.update(
        &[
            set("refs/heads/ok", it.two),
            swap("refs/heads/a", it.two, it.three),
            set("refs/heads/../escape", it.two),
            set("FETCH_HEAD", it.two),
            set("refs/heads/twice", it.two),
            set("refs/heads/twice", it.three),
            RefUpdate { name: b"refs/heads/z", old: None, new: ObjectId::from_bytes(&[1; 32]) },
        ],
        &plain(),
    );
    let stale = format!("incorrect old value provided: is at {}", it.one);
    let twice = "multiple updates for ref not allowed";
    assert_eq!(
        results,
        [
            "ok",
            &stale,
            "funny refname",
            "funny refname",
            twice,
            twice,
            "invalid new value provided"
        ]
    );
}

#[test]
fn a_name_is_not_file_and_folder() {
    let it = Fixture::new(HashKind::Sha1);
    it.repo.git("branch packed/deep");
    it.repo.git("branch p");
    it.repo.git("pack-refs --all");
    it.repo.git("branch loose/deep");
    it.repo.git("branch l");
    let in_the_way = |name: &str| format!("refname conflict: 'refs/heads/{name}' exists");
    for (name, with) in [
        ("refs/heads/packed", "packed/deep"),
        ("refs/heads/packed/deep/er", "packed/deep"),
        ("refs/heads/p/x/y", "p"),
        ("refs/heads/loose", "loose/deep"),
        ("refs/heads/loose/deep/er/still", "loose/deep"),
        ("refs/heads/l/x", "l"),
    ] {
        for options in [plain(), atomic()] {
            assert_eq!(it.update(&[set(name, it.two)], &options), [in_the_way(with)], "{name}");
        }
    }
    let results = it.update(
        &[
            set("refs/heads/t/x", it.two),
            set("refs/heads/t", it.two),
            set("refs/heads/t/x/y", it.one),
        ],
        &plain(),
    );
    assert_eq!(results, ["ok".to_owned(), in_the_way("t/x"), in_the_way("t/x")]);
    // what is deleted makes room, in either direction
    let results = it.update(
        &[
            set("refs/heads/packed", it.two),
            delete("refs/heads/packed/deep"),
            set("refs/heads/l/x", it.two),
            delete("refs/heads/l"),
        ],
        &plain(),
    );
    assert_eq!(results, ["ok"; 4]);
    std::fs::create_dir_all(it.repo.git_dir().join("refs/heads/empty/folders/only")).unwrap();
    assert_eq!(it.update(&[set("refs/heads/empty", it.two)], &plain()), ["ok"]);
    assert!(it.locks().is_empty());
}

#[test]
fn symbolic_refs_are_followed_under_their_locks() {
    let it = Fixture::new(HashKind::Sha1);
    assert_eq!(it.update(&[swap("HEAD", it.one, it.two)], &plain()), ["ok"]);
    assert_eq!(it.repo.id("main"), it.two);
    it.repo.git("symbolic-ref refs/heads/alias refs/heads/real");
    assert_eq!(it.update(&[swap("refs/heads/alias", it.null(), it.two)], &plain()), ["ok"]);
    assert_eq!(it.repo.id("real"), it.two);
    let both = [set("refs/heads/main", it.one), set("HEAD", it.one)];
    let twice = "multiple updates for ref not allowed";
    assert_eq!(it.update(&both, &plain()), [twice; 2]);
    assert_eq!(it.update(&both, &atomic()), [twice; 2]);
    // what it leads to goes; fsck would complain about what leads nowhere
    assert!(it.store.update(&[delete("refs/heads/alias")], &plain())[0].is_ok());
    assert_eq!(it.repo.git("symbolic-ref refs/heads/alias"), "refs/heads/real");
    it.repo.git("symbolic-ref -d refs/heads/alias");
    it.repo.git("checkout -q --detach");
    assert_eq!(it.update(&[swap("HEAD", it.two, it.three)], &plain()), ["ok"]);
    assert_eq!((it.repo.id("HEAD"), it.repo.id("main")), (it.three, it.two));
    it.repo.write("refs/heads/circle", "ref: refs/heads/circle\n");
    let circle = it.store.update(&[set("refs/heads/circle", it.one)], &plain());
    assert!(circle[0].is_err());
    assert!(it.locks().is_empty());
}

/// The same moves by git and by us leave the same logs, byte for byte.
#[test]
fn reflogs_are_gits() {
    for config in ["true", "false", "always"] {
        let (ours, theirs) = (Fixture::new(HashKind::Sha1), Fixture::new(HashKind::Sha1));
        theirs.repo.git(&format!("config core.logAllRefUpdates {config}"));
        let reflog = match config {
            "true" => Reflog::Branches,
            "false" => Reflog::Existing,
            _ => Reflog::All,
        };
        let (one, two, three, null) = (ours.one, ours.two, ours.three, ours.null());
        assert_eq!((two, three), (theirs.two, theirs.three));
        let moves = [
            ("refs/heads/main", two, "push"),
            ("refs/heads/a/b", two, "new  branch\n with\tspaces "),
            ("refs/heads/a/b", three, "on"),
            ("HEAD", three, "through HEAD"),
            ("refs/tags/t", one, "tag"),
            ("refs/notes/n", one, "note"),
            ("refs/remotes/o/r", one, "remote"),
            ("refs/heads/a/b", null, "gone"),
            ("refs/heads/a", two, "in its place"),
            ("refs/heads/main", null, "head's branch gone"),
            ("refs/heads/main", one, "and back"),
        ];
        for (name, new, message) in moves {
            let options = UpdateOptions {
                committer: COMMITTER,
                message: message.as_bytes(),
                reflog,
                ..UpdateOptions::default()
            };
            assert_eq!(ours.update(&[set(name, new)], &options), ["ok"]);
            let hex = new.to_hex();
            let args = if new.is_null() {
                vec!["update-ref", "-m", message, "-d", name]
            } else {
                vec!["update-ref", "-m", message, name, &hex]
            };
            run_args(theirs.repo.path(), &args);
            assert_eq!(logs(&ours.repo), logs(&theirs.repo), "{config} {name} {message}");
        }
        ours.repo.git("reflog show HEAD");
    }
}

fn logs(repo: &Repo) -> Vec<(String, String)> {
    fn walk(folder: &Path, base: &Path, out: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, base, out);
            } else {
                let name = path.strip_prefix(base).unwrap().display().to_string();
                out.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut out = Vec::new();
    let base = repo.git_dir().join("logs");
    walk(&base, &base, &mut out);
    out.sort();
    out
}

#[test]
fn locks_of_others_are_respected_and_named() {
    let it = Fixture::new(HashKind::Sha1);
    it.repo.git("branch a");
    it.repo.git("branch packed");
    it.repo.git("pack-refs --all");
    it.repo.write("refs/heads/a.lock", "theirs");
    let results =
        it.store.update(&[set("refs/heads/a", it.two), set("refs/heads/b", it.two)], &plain());
    let Err(error @ UpdateError::Locked { file }) = &results[0] else { panic!("{results:?}") };
    assert!(file.ends_with("refs/heads/a.lock") && error.to_string() == "failed to update ref");
    assert!(results[1].is_ok());
    assert_eq!(
        std::fs::read_to_string(it.repo.git_dir().join("refs/heads/a.lock")).unwrap(),
        "theirs"
    );
    std::fs::remove_file(it.repo.git_dir().join("refs/heads/a.lock")).unwrap();
    it.repo.write("packed-refs.lock", "");
    let results = it.store.update(&[delete("refs/heads/packed")], &plain());
    assert!(
        matches!(&results[0], Err(UpdateError::Locked { file }) if file.ends_with("packed-refs.lock"))
    );
    assert_eq!(it.repo.id("packed"), it.one);
    assert_eq!(it.locks().len(), 1);
    it.repo.write("HEAD.lock", "");
    let results = it.store.update(&[set("HEAD", it.two)], &plain());
    assert!(matches!(&results[0], Err(UpdateError::Locked { .. })));
    assert_eq!(it.repo.id("main"), it.one);
}

#[test]
fn broken_refs_are_not_compared_but_may_go() {
    let it = Fixture::new(HashKind::Sha1);
    it.repo.write("refs/heads/broken", "garbage");
    for update in [set("refs/heads/broken", it.one), swap("refs/heads/broken", it.null(), it.one)] {
        let results = it.store.update(&[update], &plain());
        assert!(
            matches!(&results[0], Err(UpdateError::Broken { file }) if file.ends_with("broken"))
        );
    }
    assert_eq!(it.update(&[delete("refs/heads/broken")], &plain()), ["ok"]);
}

#[test]
fn head_can_be_pointed_elsewhere() {
    let it = Fixture::new(HashKind::Sha1);
    it.repo.git("branch side");
    let options = UpdateOptions {
        committer: COMMITTER,
        message: b"switch",
        reflog: Reflog::Branches,
        ..UpdateOptions::default()
    };
    it.store.set_symbolic(b"HEAD", b"refs/heads/side", &options).unwrap();
    assert_eq!(it.repo.git("symbolic-ref HEAD"), "refs/heads/side");
    let log = std::fs::read_to_string(it.repo.git_dir().join("logs/HEAD")).unwrap();
    assert!(log.ends_with(&format!(
        "{} {} C O Mitter <committer@example.com> 1700000000 +0000\tswitch\n",
        it.one, it.one
    )));
    it.store.set_symbolic(b"HEAD", b"refs/heads/unborn", &plain()).unwrap();
    assert_eq!(it.store.snapshot().unwrap().head().id(), None);
    it.store.set_symbolic(b"refs/remotes/o/HEAD", b"refs/heads/main", &plain()).unwrap();
    assert_eq!(it.repo.id("refs/remotes/o/HEAD"), it.one);
    for (name, target) in [
        (&b"HEAD"[..], &b"main"[..]),
        (b"HEAD", b"refs/heads/../x"),
        (b"CONFIG", b"refs/heads/main"),
        (b"refs/heads/x", b"refs/heads/x"),
    ] {
        let refused = it.store.set_symbolic(name, target, &plain());
        assert!(matches!(refused, Err(UpdateError::InvalidName)));
    }
    let refused = it.store.set_symbolic(b"refs/heads/main/x", b"refs/heads/side", &plain());
    assert!(refused.is_err() && it.locks().is_empty());
}

#[test]
fn worktrees_move_their_own_head() {
    let it = Fixture::new(HashKind::Sha1);
    let outside = tempfile::tempdir().unwrap();
    let linked = outside.path().join("wt");
    run_args(it.repo.path(), &["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    let git_dir = super::testing::run(&linked, "rev-parse --absolute-git-dir");
    let store = RefStore::open(Path::new(&git_dir), Some(&it.repo.git_dir()), it.repo.kind);
    let updates = [swap("HEAD", it.one, it.two), set("refs/worktree/own", it.three)];
    assert!(store.update(&updates, &plain()).iter().all(Result::is_ok));
    assert_eq!((it.repo.id("side"), it.repo.id("main")), (it.two, it.one));
    assert_eq!(super::testing::run(&linked, "rev-parse refs/worktree/own"), it.three.to_hex());
    assert!(!it.repo.git_dir().join("refs/worktree").exists());
}
