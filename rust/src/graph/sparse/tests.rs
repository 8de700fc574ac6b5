//! `sparse:oid` against `git rev-list --filter`.

use std::collections::BTreeSet;

use super::{BOUNDS, Bounds, enumerate_bounded};
use crate::graph::tests::enumerate::{PARALLEL, SMALL, WHOLE, request, run, set};
use crate::graph::tests::memory::MemorySource;
use crate::graph::tests::repo::{Dice, TestRepo, hex, random_history};
use crate::graph::{CommitTable, Filter, GraphError, WalkRequest};
use crate::hash::{HashKind, ObjectId};
use crate::watch::Watch;

fn store(repo: &TestRepo, patterns: &str) -> ObjectId {
    let out = repo.feed(&["hash-object", "-w", "--stdin"], patterns.as_bytes());
    ObjectId::from_hex(out.trim_ascii()).unwrap()
}

fn ours(repo: &TestRepo, source: &MemorySource, asked: &WalkRequest) -> BTreeSet<ObjectId> {
    let mut all = [SMALL, WHOLE, PARALLEL].map(|limits| set(source, &run(source, asked, limits)));
    assert_eq!(all[0], all[1], "in {}", repo.path().display());
    assert_eq!(all[0], all[2]);
    std::mem::take(&mut all[0])
}

/// Patterns such as people write, and such as they do not.
fn random_patterns(dice: &mut Dice) -> String {
    const WORDS: [&str; 12] =
        ["*", "**", "d*", "f?", "[de]*", "d1", "e", "f2", "g", "h", "f[!3]", "e1"];
    let mut file = String::new();
    for _ in 0..1 + dice.roll(6) {
        if dice.roll(3) == 0 {
            file.push('!');
        }
        if dice.roll(2) == 0 {
            file.push('/');
        }
        for part in 0..1 + dice.roll(3) {
            if part > 0 {
                file.push('/');
            }
            file += WORDS[dice.roll(WORDS.len())];
        }
        file += ["", "", "/", "  ", "\r"][dice.roll(5)];
        file.push('\n');
    }
    file
}

#[test]
fn the_same_blobs_as_git() {
    for (kind, seed) in [(HashKind::Sha1, 11), (HashKind::Sha256, 12)] {
        let repo = random_history(kind, seed, 60);
        let mut dice = Dice(seed + 1);
        let mut files: Vec<String> = (0..40).map(|_| random_patterns(&mut dice)).collect();
        files.extend(
            [
                "",
                "*",
                "/*\n!/*/\n/d1/\n",
                "!*",
                "/*\n!/*/\n/d0/\n!/d0/*/\n/d0/e/\n",
                "#x\n\\f1",
                "/d2",
            ]
            .map(str::to_owned),
        );
        let stored: Vec<ObjectId> = files.iter().map(|file| store(&repo, file)).collect();
        let source = repo.source();
        let mut left_out = 0;
        for (file, id) in files.iter().zip(&stored) {
            let mut wants = vec![repo.id(&format!("c{}", dice.roll(60)))];
            if dice.roll(3) == 0 {
                wants.push(repo.id(&format!("c{}^{{tree}}", dice.roll(60))));
            }
            let spec = format!("sparse:oid={id}");
            let git = repo.rev_list(&[&format!("--filter={spec}")], &hex(&wants));
            let filter = Filter::parse(spec.as_bytes()).unwrap();
            let asked = WalkRequest { filter, ..request(&wants, &[]) };
            let ours = ours(&repo, &source, &asked);
            let more: Vec<_> = ours.difference(&git).collect();
            let less: Vec<_> = git.difference(&ours).collect();
            assert!(more.is_empty() && less.is_empty(), "{file:?}: +{more:?} -{less:?}");
            left_out += usize::from(ours.len() < repo.rev_list(&[], &hex(&wants)).len());
        }
        assert!(left_out > 20, "patterns that leave nothing out show nothing: {left_out}");
    }
}

#[test]
fn beside_other_filters() {
    let repo = random_history(HashKind::Sha1, 13, 60);
    let sparse = [store(&repo, "/d1/\n/d2\n"), store(&repo, "f1\nf2\nf3\n")];
    let source = repo.source();
    let tip = repo.id("c59");
    let spec = |n: usize| format!("sparse:oid={}", sparse[n]);
    for parts in [
        vec![spec(0), "blob:limit=11".to_owned()],
        vec![spec(1), "object:type=blob".to_owned()],
        vec!["tree:2".to_owned(), spec(0)],
        vec!["tree:3".to_owned(), spec(1)],
        vec![spec(0), "blob:none".to_owned()],
    ] {
        let combined = format!("combine:{}", parts.join("+"));
        let mut git = repo.rev_list(&[&format!("--filter={combined}")], &hex(&[tip]));
        let filter = Filter::parse(combined.as_bytes()).unwrap();
        let asked = WalkRequest { filter, ..request(&[tip], &[]) };
        // a commit that was asked for by its id is sent whatever the filter says
        git.insert(tip);
        assert_eq!(ours(&repo, &source, &asked), git, "{parts:?}");
    }
}

/// Of two of them git sends less than either lets through: trees are missing, too.
#[test]
fn two_lists_have_to_let_the_same_path_through() {
    let repo = TestRepo::new(HashKind::Sha1);
    let [both, one] = ["both", "one"].map(|content| store(&repo, content));
    let tree = |entries: String| {
        let id = repo.feed(&["mktree"], entries.as_bytes());
        ObjectId::from_hex(id.trim_ascii()).unwrap()
    };
    let d = tree(format!("100644 blob {both}\tf.a\n100644 blob {one}\tg.b\n"));
    let e = tree(format!("100644 blob {one}\tg.a\n100644 blob {both}\th.b\n"));
    let root = tree(format!("040000 tree {d}\td\n040000 tree {e}\te\n"));
    let lists = [store(&repo, "/d/\n"), store(&repo, "*.a\n")];
    let source = repo.source();
    let spec = format!("combine:sparse:oid={}+sparse:oid={}", lists[0], lists[1]);
    let filter = Filter::parse(spec.as_bytes()).unwrap();
    let asked = WalkRequest { filter, ..request(&[root], &[]) };
    assert_eq!(ours(&repo, &source, &asked), BTreeSet::from([root, d, e, both]));
}

#[test]
fn what_the_client_has_is_not_looked_for() {
    let repo = random_history(HashKind::Sha1, 14, 60);
    let id = store(&repo, "/d1/\n/d0/\nf1\n");
    let source = repo.source();
    let mut dice = Dice(3);
    for _ in 0..10 {
        let (want, have) = (repo.id("c59"), repo.id(&format!("c{}", dice.roll(59))));
        let filter = Filter::SparseOid(id);
        let asked = WalkRequest { filter, ..request(&[want], &[have]) };
        let found = set(&source, &run(&source, &asked, WHOLE));
        let whole = set(&source, &run(&source, &request(&[want], &[have]), WHOLE));
        // git's own answer sometimes holds more than needed: asked for each commit by itself,
        // it says which paths let a blob through
        let range = [want.to_string(), format!("^{have}")];
        let mut fits = BTreeSet::new();
        for commit in repo.git(&["rev-list", &range[0], &range[1]]).lines() {
            let commit = ObjectId::from_hex(commit.as_bytes()).unwrap();
            let filter = format!("--filter=sparse:oid={id}");
            fits.extend(repo.rev_list(&["--no-walk", &filter], &hex(&[commit])));
        }
        assert_eq!(found, &whole & &fits);
    }
}

#[test]
fn blobs_asked_for_by_their_ids() {
    let repo = random_history(HashKind::Sha1, 15, 20);
    let nothing = store(&repo, "!*\n");
    let listed = repo.git(&["ls-tree", "-r", "--format=%(objecttype) %(objectname)", "c19"]);
    let blob = listed.lines().find_map(|line| line.strip_prefix("blob ")).unwrap();
    let blob = ObjectId::from_hex(blob.as_bytes()).unwrap();
    let source = repo.source();
    let filter = Filter::SparseOid(nothing);
    let asked = WalkRequest { filter, ..request(&[repo.id("c19"), blob], &[]) };
    assert!(ours(&repo, &source, &asked).contains(&blob));
}

#[test]
fn trees_that_hold_each_other_many_times_are_refused() {
    let repo = TestRepo::new(HashKind::Sha1);
    let mut tree = store(&repo, "deep").to_string();
    let mut mode = "100644 blob";
    for _ in 0..7 {
        let entries: String = (0..5).map(|n| format!("{mode} {tree}\tn{n}\n")).collect();
        tree = String::from_utf8(repo.feed(&["mktree"], entries.as_bytes())).unwrap();
        tree = tree.trim().to_owned();
        mode = "040000 tree";
    }
    let patterns = store(&repo, "n1\n!n3\n");
    let source = repo.source();
    let want = ObjectId::from_hex(tree.as_bytes()).unwrap();
    let asked = WalkRequest { filter: Filter::SparseOid(patterns), ..request(&[want], &[]) };
    let table = CommitTable::new(HashKind::Sha1);
    let within = |bounds| {
        enumerate_bounded(&source, &table, &asked, &Watch::new(), SMALL, bounds)
            .map(|found| found.objects.len())
    };
    assert_eq!(within(BOUNDS).unwrap(), 8);
    // 1 + 5 + 25 + ... + 5^6 trees
    let visits = 19_531;
    assert_eq!(within(Bounds { visits, ..BOUNDS }).unwrap(), 8);
    for bounds in [
        Bounds { visits: visits - 1, ..BOUNDS },
        Bounds { bytes: 100_000, ..BOUNDS },
        Bounds { steps: 1_000_000, ..BOUNDS },
    ] {
        assert!(matches!(within(bounds), Err(GraphError::TooManyPaths)), "{bounds:?}");
    }
}
