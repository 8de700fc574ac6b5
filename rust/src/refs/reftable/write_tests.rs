//! Writing tables, with real git as the judge of what is there afterwards.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::logs::LogCursor;
use super::stack::Stack;
use super::testing::Tables;
use crate::hash::{HashKind, ObjectId};
use crate::refs::testing::{COMMITTER, atomic, delete, git_at, plain, set, swap};
use crate::refs::{RefStore, RefUpdate, Reflog, UpdateError, UpdateOptions};

const KINDS: [HashKind; 2] = [HashKind::Sha1, HashKind::Sha256];

impl Tables {
    fn move_refs(&self, updates: &[RefUpdate<'_>], options: &UpdateOptions<'_>) -> Vec<String> {
        let objects = crate::refs::testing::GitObjects::new(self.path(), self.kind);
        let options = UpdateOptions { objects: Some(&objects), ..*options };
        let results = self.store.update(updates, &options);
        let shown = results.into_iter().map(|result| match result {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.detail(),
        });
        let shown = shown.collect();
        self.check();
        self.check_files();
        shown
    }

    /// No locks, and no tables that are not in the list.
    fn check_files(&self) {
        let folder = std::fs::read_dir(self.path().join("reftable")).unwrap();
        let mut found: Vec<String> =
            folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.retain(|name| name != "tables.list");
        found.sort();
        let mut listed = self.list();
        listed.sort();
        assert_eq!(found, listed);
        let staged = std::fs::read_dir(self.path().join("gitserve-locks"));
        assert_eq!(staged.into_iter().flatten().count(), 0);
    }

    /// All log entries of all refs that are not gone, by key.
    fn logs(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut stack = Stack::new(self.path().join("reftable"), self.kind);
        stack.reload().unwrap();
        let mut all = BTreeMap::new();
        for table in &stack.tables {
            let mut cursor = LogCursor::new(table);
            while let Some(record) = cursor.next().unwrap() {
                match record.entry {
                    Some(entry) => all.insert(record.key, entry),
                    None => all.remove(&record.key),
                };
            }
        }
        all
    }
}

fn logging(reflog: Reflog) -> UpdateOptions<'static> {
    UpdateOptions { committer: COMMITTER, message: b"push", reflog, ..plain() }
}

#[test]
fn refs_are_made_moved_and_deleted() {
    for kind in KINDS {
        let it = Tables::new(kind);
        let (one, two, null) = (it.commits[0], it.commits[1], ObjectId::null(kind));
        let made = it.move_refs(
            &[
                set("refs/heads/new/deep/down", one),
                swap("refs/heads/main", null, one),
                set("refs/tags/v1", it.tag),
                delete("refs/heads/never-was"),
            ],
            &plain(),
        );
        assert_eq!(made, ["ok"; 4]);
        assert_eq!(it.git(&["rev-parse", "HEAD"]), one.to_hex());
        let moved = it.move_refs(
            &[
                swap("refs/heads/main", one, two),
                swap("refs/heads/new/deep/down", one, null),
                set("refs/heads/new/deep", two),
            ],
            &plain(),
        );
        assert_eq!(moved, ["ok"; 3], "deletions make room");
        assert_eq!(it.git(&["rev-parse", "v1^{}"]), one.to_hex());
        it.git(&["fsck", "--no-dangling"]);
    }
}

#[test]
fn only_who_knows_the_value_may_change_it() {
    let it = Tables::new(HashKind::Sha1);
    let (one, two, null) = (it.commits[0], it.commits[1], ObjectId::null(it.kind));
    it.update(&format!("create refs/heads/main {one}\n"));
    let before = it.list();
    let refused = it.move_refs(
        &[
            swap("refs/heads/main", two, one),
            swap("refs/heads/other", one, two),
            set("refs/heads/main/sub", two),
            set("refs/heads", two),
        ],
        &plain(),
    );
    assert_eq!(
        refused,
        [
            format!("incorrect old value provided: is at {one}"),
            "reference does not exist".to_owned(),
            "refname conflict: 'refs/heads/main' exists".to_owned(),
            "refname conflict: 'refs/heads/other' exists".to_owned(),
        ]
    );
    let refused = it.move_refs(&[swap("refs/heads/main", null, two)], &plain());
    assert_eq!(refused, [format!("reference already exists: is at {one}")]);
    let twice = "multiple updates for ref not allowed";
    let refused = it.move_refs(&[set("HEAD", one), set("refs/heads/main", one)], &plain());
    assert_eq!(refused, [twice, twice]);
    let lost = it.move_refs(&[set("refs/heads/x", two), swap("refs/heads/y", one, two)], &atomic());
    assert_eq!(lost, ["atomic transaction failed", "reference does not exist"]);
    assert_eq!(it.list(), before, "nothing has changed");
}

#[test]
fn names_that_collide_in_one_transaction() {
    let it = Tables::new(HashKind::Sha1);
    let one = it.commits[0];
    let both = it.move_refs(&[set("refs/heads/a", one), set("refs/heads/a/b", one)], &plain());
    assert_eq!(both, ["ok", "refname conflict: 'refs/heads/a' exists"]);
    let swapped = [delete("refs/heads/a"), set("refs/heads/a/b", one)];
    let refused = it.move_refs(&swapped, &atomic());
    assert_eq!(refused, ["atomic transaction failed", "refname conflict: 'refs/heads/a' exists"]);
    it.git(&["symbolic-ref", "refs/heads/s", "refs/heads/a"]);
    let twice = [delete("refs/heads/a"), delete("refs/heads/s"), set("refs/heads/a/b", one)];
    let twice = it.move_refs(&twice, &plain());
    assert!(
        twice[2].starts_with("refname conflict"),
        "what is not deleted is in the way: {twice:?}"
    );
    assert_eq!(it.move_refs(&swapped, &plain()), ["ok", "ok"]);
}

/// As the two backends of git do with the same refs and logs.
#[test]
fn symbolic_refs_are_followed_and_logged() {
    let it = Tables::new(HashKind::Sha1);
    let (one, two) = (it.commits[0], it.commits[1]);
    it.git(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
    let done = it.move_refs(&[set("refs/heads/alias", one)], &logging(Reflog::Branches));
    assert_eq!(done, ["ok"]);
    assert_eq!(it.git(&["rev-parse", "HEAD"]), one.to_hex());
    for name in ["HEAD", "refs/heads/alias", "refs/heads/main"] {
        assert!(it.git(&["reflog", "show", name]).ends_with("@{0}: push"), "{name}");
    }
    let options = UpdateOptions { message: b"here now", ..logging(Reflog::Branches) };
    it.store.set_symbolic(b"HEAD", b"refs/heads/other", &options).unwrap();
    assert_eq!(it.git(&["symbolic-ref", "HEAD"]), "refs/heads/other");
    it.store.set_symbolic(b"HEAD", b"refs/heads/main", &options).unwrap();
    assert!(it.git(&["reflog", "show", "HEAD"]).contains("HEAD@{0}: here now"));
    assert_eq!(it.move_refs(&[set("HEAD", two)], &logging(Reflog::Existing)), ["ok"]);
    assert_eq!(it.git(&["rev-parse", "main@{0}"]), two.to_hex());
    let refused = it.store.set_symbolic(b"refs/heads/main/x", b"refs/heads/other", &options);
    assert!(matches!(refused, Err(UpdateError::Conflict { .. })));
    it.check();
}

/// Blocks, padding, indexes of refs and of logs, long names; merged by us and by git.
#[test]
fn large_tables_are_read_by_git() {
    for kind in KINDS {
        let it = Tables::new(kind);
        let long = "x".repeat(180);
        let mut names: Vec<String> =
            (0..2500).map(|n| format!("refs/heads/topic/{}/{n:05}", n % 7)).collect();
        names.extend((0..20).map(|n| format!("refs/tags/{}/{n}", [&long[..]; 18].join("/"))));
        let updates: Vec<_> = names.iter().map(|name| set(name, it.commits[0])).collect();
        let done = it.move_refs(&updates, &logging(Reflog::All));
        let failed = done.iter().find(|done| *done != "ok");
        assert_eq!(failed, None);
        assert_eq!(it.git(&["reflog", "list"]).lines().count(), names.len());
        let last = names.last().unwrap();
        assert_eq!(it.git(&["rev-parse", last]), it.commits[0].to_hex());
        assert!(it.git(&["reflog", "show", last]).ends_with("push"));
        let updates: Vec<_> = names.iter().step_by(3).map(|name| delete(name)).collect();
        it.move_refs(&updates, &logging(Reflog::All));
        assert_eq!(it.git(&["reflog", "list"]).lines().count(), names.len() - updates.len());
        it.git(&["pack-refs", "--all"]);
        it.check();
        assert_eq!(it.logs().len(), names.len() - updates.len());
        it.git(&["fsck", "--no-dangling"]);
    }
}

#[test]
fn tables_are_merged_as_they_come() {
    let it = Tables::new(HashKind::Sha1);
    let names: Vec<String> = (0..60).map(|n| format!("refs/heads/{n}")).collect();
    for name in &names {
        it.store.update(&[set(name, it.commits[0])], &logging(Reflog::Branches));
        let sizes = sizes(&it);
        assert!(sizes.windows(2).all(|pair| pair[0] >= 2 * pair[1]), "{sizes:?}");
    }
    assert_eq!(it.logs().len(), 60);
    for name in &names {
        it.store.update(&[delete(name)], &logging(Reflog::Branches));
    }
    it.check();
    it.check_files();
    assert!(it.logs().is_empty());
    it.git(&["pack-refs", "--all"]);
    it.check();
}

/// More than is merged under the lock of the list.
#[test]
fn large_tables_are_merged_under_locks_of_their_own() {
    let it = Tables::new(HashKind::Sha1);
    let names: Vec<String> = (0..24_000).map(|n| format!("refs/changes/{n:06}/head")).collect();
    for part in names.chunks(8_000) {
        let updates: Vec<_> = part.iter().map(|name| set(name, it.commits[0])).collect();
        it.store.update(&updates, &plain());
    }
    it.check();
    it.check_files();
    let sizes = sizes(&it);
    assert!(sizes.windows(2).all(|pair| pair[0] >= 2 * pair[1]), "{sizes:?}");
    // a table that somebody merges is left alone
    let updates: Vec<_> = names[..8_000].iter().map(|name| set(name, it.commits[1])).collect();
    let held: Vec<_> = it.list().iter().map(|name| format!("{name}.lock")).collect();
    for lock in &held {
        std::fs::write(it.path().join("reftable").join(lock), "").unwrap();
    }
    it.store.update(&updates, &plain());
    it.store.update(&updates[..4000], &plain());
    assert_eq!(it.list().len(), held.len() + 1);
    it.check();
}

/// Where a log is all that changes, git writes tables without refs.
#[test]
fn tables_of_logs_alone_are_read() {
    for kind in KINDS {
        let it = Tables::new(kind);
        it.git(&["config", "core.logAllRefUpdates", "always"]);
        it.many("heads", 0..500);
        it.git(&["reflog", "expire", "--expire=now", "--all"]);
        let mut stack = Stack::new(it.path().join("reftable"), kind);
        stack.reload().unwrap();
        assert!(stack.tables.iter().any(|table| table.begins_with_logs));
        // what is left only says that there is a log
        let is_mark = |entry: &Vec<u8>| entry[..2 * kind.len()].iter().all(|&byte| byte == 0);
        assert!(it.logs().values().all(is_mark));
        let name = b"refs/heads/00007";
        let updates = [RefUpdate { name, old: None, new: Some(it.commits[1]) }];
        let done = it.store.update(&updates, &logging(Reflog::All));
        assert!(done[0].is_ok(), "{done:?}");
        assert_eq!(it.logs().values().filter(|entry| !is_mark(entry)).count(), 1);
        assert_eq!(it.git(&["reflog", "show", "refs/heads/00007"]).lines().count(), 1);
        it.check();
    }
}

fn sizes(it: &Tables) -> Vec<u64> {
    let size = |name: &String| it.path().join("reftable").join(name).metadata().unwrap().len();
    it.list().iter().map(size).collect()
}

#[test]
fn worktrees_move_their_own_head() {
    let it = Tables::new(HashKind::Sha1);
    it.update(&format!("create refs/heads/main {}\n", it.commits[0]));
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("linked");
    it.worktree(&folder);
    let linked_dir = it.path().join("worktrees/linked");
    let linked = RefStore::open_tables(&linked_dir, Some(it.path()), it.kind);
    linked.set_symbolic(b"HEAD", b"refs/heads/topic", &plain()).unwrap();
    let three = it.commits[2];
    let updates = [set("HEAD", three), set("refs/worktree/mine", three)];
    let done = linked.update(&updates, &logging(Reflog::Branches));
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let git = |args: &[&str]| {
        let out = git_at(&it.git, &folder).args(args).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(git(&["symbolic-ref", "HEAD"]), "refs/heads/topic");
    assert_eq!(
        git(&["rev-parse", "HEAD", "topic", "refs/worktree/mine"]),
        format!("{three}\n{three}\n{three}")
    );
    assert!(git(&["reflog", "show", "HEAD"]).ends_with("push"));
    assert_eq!(it.git(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    it.check();
}

#[test]
fn what_the_killed_left_is_taken_away() {
    let it = Tables::new(HashKind::Sha1);
    it.store.update(&[set("refs/heads/main", it.commits[0])], &plain());
    let folder = it.path().join("reftable");
    let listed = folder.join(&it.list()[0]);
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let leave = |name: &str| {
        std::fs::copy(&listed, folder.join(name)).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(folder.join(name)).unwrap();
        file.set_modified(old).unwrap();
    };
    leave("0x000000000001-0x000000000001-00000000.ref");
    leave("note.txt");
    std::fs::write(folder.join("0x000000000001-0x000000000001-00000001.ref"), "").unwrap();
    let fresh = RefStore::open_tables(it.path(), None, it.kind);
    assert!(fresh.update(&[set("refs/heads/x", it.commits[0])], &plain())[0].is_ok());
    assert!(!folder.join("0x000000000001-0x000000000001-00000000.ref").exists());
    assert!(folder.join("0x000000000001-0x000000000001-00000001.ref").exists(), "too new to judge");
    assert!(folder.join("note.txt").exists());
    it.check();
    // somebody else's lock stays
    std::fs::write(folder.join("tables.list.lock"), "").unwrap();
    let refused = it.store.update(&[set("refs/heads/y", it.commits[0])], &plain());
    assert!(matches!(refused[0], Err(UpdateError::Locked { .. })), "{refused:?}");
    assert!(folder.join("tables.list.lock").exists());
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Move(Vec<(usize, Option<usize>, Belief)>),
    Point(usize, usize),
    Pack,
}

#[derive(Debug, Clone, Copy)]
enum Belief {
    Anything,
    Right,
    Wrong,
}

const NAMES: [&str; 9] = [
    "refs/heads/main",
    "refs/heads/a",
    "refs/heads/a/b",
    "refs/heads/alias",
    "refs/tags/v1",
    "refs/tags/v1/x",
    "refs/notes/n",
    "HEAD",
    "refs/heads/main-2",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let belief = prop_oneof![
        3 => Just(Belief::Right),
        2 => Just(Belief::Anything),
        1 => Just(Belief::Wrong)
    ];
    let value = prop_oneof![3 => (0..4usize).prop_map(Some), 1 => Just(None)];
    let one = (0..NAMES.len(), value, belief);
    let step = prop_oneof![
        12 => prop::collection::vec(one, 1..4).prop_map(Step::Move),
        2 => (0..2usize, 0..3usize).prop_map(|(name, target)| Step::Point(name, target)),
        1 => Just(Step::Pack),
    ];
    prop::collection::vec(step, 4..14)
}

struct Twins {
    ours: Tables,
    theirs: Tables,
    reflog: Reflog,
}

impl Twins {
    fn new(kind: HashKind, reflog: Reflog) -> Self {
        let (ours, theirs) = (Tables::new(kind), Tables::new(kind));
        let rule = match reflog {
            Reflog::Existing => "false",
            Reflog::Branches => "true",
            Reflog::All => "always",
        };
        for twin in [&ours, &theirs] {
            twin.git(&["config", "core.logAllRefUpdates", rule]);
        }
        Self { ours, theirs, reflog }
    }

    fn step(&self, step: &Step) {
        match step {
            Step::Pack => {
                self.ours.git(&["pack-refs", "--all"]);
            }
            Step::Point(name, target) => {
                let name = ["HEAD", "refs/heads/alias"][*name];
                let target = ["refs/heads/main", "refs/heads/a", "refs/heads/main-2"][*target];
                let options = UpdateOptions { message: b"point", ..logging(self.reflog) };
                let done =
                    self.ours.store.set_symbolic(name.as_bytes(), target.as_bytes(), &options);
                let status = git_at(&self.theirs.git, self.theirs.path())
                    .args(["symbolic-ref", "-m", "point", name, target])
                    .status();
                assert_eq!(done.is_ok(), status.unwrap().success(), "{done:?}");
            }
            Step::Move(moves) => self.move_both(moves),
        }
    }

    fn move_both(&self, moves: &[(usize, Option<usize>, Belief)]) {
        let snapshot = self.ours.store.snapshot().unwrap();
        let (commits, null) = (&self.ours.commits, ObjectId::null(self.ours.kind));
        let (mut updates, mut lines) = (Vec::new(), String::new());
        for &(name, value, belief) in moves {
            let name = NAMES[name];
            let found = snapshot.get(name.as_bytes());
            let new = value.map(|at| match commits.get(at) {
                Some(&commit) => commit,
                None if name.starts_with("refs/tags/") => self.ours.tag,
                None => commits[0],
            });
            let old = match belief {
                Belief::Anything => None,
                Belief::Right => Some(found.unwrap_or(null)),
                Belief::Wrong => {
                    Some(if found == Some(commits[1]) { commits[0] } else { commits[1] })
                }
            };
            // what changes nothing, and what is not there to be deleted, git tells otherwise
            let is_moot = new == found || (new.is_none() && (found.is_none() || name == "HEAD"));
            if is_moot
                || updates.iter().any(|update: &RefUpdate<'_>| update.name == name.as_bytes())
            {
                continue;
            }
            updates.push(RefUpdate { name: name.as_bytes(), old, new });
            let old = old.map_or(String::new(), |old| format!(" {old}"));
            lines += &match new {
                Some(new) => format!("update {name} {new}{old}\n"),
                None => format!("delete {name}{old}\n"),
            };
        }
        let options = UpdateOptions { atomic: true, ..logging(self.reflog) };
        let ours = self.ours.move_refs(&updates, &options);
        let mut command = git_at(&self.theirs.git, self.theirs.path());
        command.args(["update-ref", "-m", "push", "--stdin"]);
        let input = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(input.path(), &lines).unwrap();
        let out = command.stdin(std::fs::File::open(input.path()).unwrap()).output().unwrap();
        let is_done = ours.iter().all(|done| done == "ok");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(is_done, out.status.success(), "{lines}{ours:?}\n{said}");
    }

    fn compare(&self) {
        let list = |it: &Tables| {
            it.git(&["for-each-ref", "--format=%(objectname) %(refname) %(symref) %(*objectname)"])
        };
        assert_eq!(list(&self.ours), list(&self.theirs));
        let head = |it: &Tables| it.store.snapshot().unwrap().head().clone();
        assert_eq!(head(&self.ours), head(&self.theirs));
        let entries = |it: &Tables| -> Vec<(String, String)> {
            let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
            let named = |key: &Vec<u8>| text(&key[..key.len() - 9]);
            it.logs().iter().map(|(key, entry)| (named(key), text(entry))).collect()
        };
        assert_eq!(entries(&self.ours), entries(&self.theirs));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    /// Random transactions of ours and of `git update-ref` leave the same refs and logs.
    #[test]
    fn twins_stay_the_same(steps in steps(), reflog in 0..3, wide in any::<bool>()) {
        let reflog = [Reflog::Existing, Reflog::Branches, Reflog::All][reflog as usize];
        let twins = Twins::new(KINDS[usize::from(wide)], reflog);
        for step in &steps {
            twins.step(step);
            twins.compare();
        }
    }
}
