//! Files and directories that move, are copied or come back: nothing goes out that git would not
//! send in the same situation, though only the directories that changed are opened.

use super::super::paths::Paths;
use super::enumerate::{SMALL, request, run, set};
use super::repo::{Dice, TestRepo, hex, orderly_history};
use crate::hash::{HashKind, ObjectId};

/// A line of commits, each made by some lines of `git fast-import`.
fn line_of(changes: &[&str]) -> (TestRepo, Vec<ObjectId>) {
    let repo = TestRepo::new(HashKind::Sha1);
    let mut stream = String::new();
    for (nth, change) in changes.iter().enumerate() {
        let time = 1000 + 100 * nth;
        stream += &format!("commit refs/heads/main\ncommitter C <c@x> {time} +0000\ndata 0\n");
        stream += change;
        stream += "\n";
    }
    repo.feed(&["fast-import", "--quiet"], stream.as_bytes());
    let listing = repo.git(&["rev-list", "--reverse", "main"]);
    let ids = listing.lines().map(|id| ObjectId::from_hex(id.as_bytes()).unwrap()).collect();
    (repo, ids)
}

fn file(path: &str, text: &str) -> String {
    format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len())
}

/// Directories in directories, each with some files.
fn first() -> String {
    let mut out = String::new();
    for dir in ["lib/core/one", "lib/core/two", "lib/util", "lib", "doc/man/inc", "doc/book/inc"] {
        for nth in 0..5 {
            out += &file(&format!("{dir}/f{nth}"), &format!("{dir} {nth}"));
        }
    }
    out
}

/// How many objects we send that git does not, over each two commits of a line; what we send is
/// enough each time.
fn excess(repo: &TestRepo, ids: &[ObjectId]) -> usize {
    let source = repo.source();
    let mut excess = 0;
    for (newer, &want) in ids.iter().enumerate() {
        for &have in &ids[..newer] {
            let found = run(&source, &request(&[want], &[have]), SMALL);
            let ours = set(&source, &found);
            let lacks = repo.rev_list(&[], &want.to_hex());
            let had = repo.rev_list(&[], &have.to_hex());
            assert!(ours.is_superset(&lacks.difference(&had).copied().collect()));
            let git = repo.packed(&[], &format!("{want}\n^{have}\n"));
            excess += ours.difference(&git).count();
        }
    }
    excess
}

#[test]
fn what_moved_out_of_a_changed_directory_stays_at_home() {
    let edit = |path: &str| file(path, "edited");
    for moves in [
        ["R lib src\n", "R doc src/doc\n"],
        ["C lib src\n", "C src/core doc/core\n"],
        ["R lib/core src/deep/er/core\n", "R lib/util core\n"],
        ["R lib/core lib/util/core\n", "R lib/util/core/one lib/core\n"],
    ] {
        let changes = [
            first(),
            edit("lib/core/one/f1"),
            edit("doc/man/f"),
            edit("lib/util/f2"),
            moves[0].to_owned(),
            edit("doc/book/f3"),
            // a file as it was before
            file("lib/core/one/f1", "lib/core/one 1"),
            moves[1].to_owned(),
            edit("new"),
        ];
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        let (repo, ids) = line_of(&changes);
        assert_eq!(excess(&repo, &ids), 0, "{moves:?}");
    }
}

/// A commit of this tree.
fn commit(repo: &TestRepo, tree: &str, parents: &[ObjectId]) -> ObjectId {
    let tree = repo.id(tree).to_string();
    let parents: Vec<_> = parents.iter().map(ObjectId::to_string).collect();
    let mut args = vec!["commit-tree", "-m", "x", &tree];
    parents.iter().for_each(|parent| args.extend(["-p", parent]));
    ObjectId::from_hex(repo.git(&args).trim().as_bytes()).unwrap()
}

#[test]
fn a_directory_may_become_the_root_and_a_root_a_directory() {
    let edited = file("lib/core/one/f1", "edited");
    let (repo, mut ids) = line_of(&[&first(), &edited, &file("lib/util/f3", "edited")]);
    for tree in [":lib", ":lib/core", "~1:lib", "~2^{tree}", "^{tree}"] {
        ids.push(commit(&repo, &format!("main{tree}"), &ids[ids.len() - 1..]));
    }
    assert_eq!(excess(&repo, &ids), 0);
    // another project, of which the client has some, becomes a directory
    let mut other = vec![commit(&repo, "main~2:lib", &[])];
    other.push(commit(&repo, "main~1:lib", &other));
    other.push(commit(&repo, "main:lib", &other[1..]));
    let listing = format!("040000 tree {}\tsub\n", repo.id("main:lib"));
    let tree = String::from_utf8(repo.feed(&["mktree"], listing.as_bytes())).unwrap();
    let merged = commit(&repo, tree.trim(), &[ids[0], other[2]]);
    let source = repo.source();
    let found = run(&source, &request(&[merged], &[ids[0], other[0]]), SMALL);
    let git = repo.packed(&[], &format!("{merged}\n^{}\n^{}\n", ids[0], other[0]));
    let ours = set(&source, &found);
    assert!(ours.is_subset(&git), "{:?}", ours.difference(&git));
}

#[test]
fn where_clocks_are_right_nothing_is_sent_that_git_does_not_send() {
    let repo = orderly_history(HashKind::Sha1, 61, 150);
    let source = repo.source();
    let all = repo.commits();
    let mut dice = Dice(99);
    for _ in 0..40 {
        let mut pick = |n: usize| (0..n).map(|_| all[dice.roll(150)]).collect::<Vec<_>>();
        let (wants, haves) = (pick(2), pick(3));
        let ours = set(&source, &run(&source, &request(&wants, &haves), SMALL));
        let nots: String = haves.iter().map(|id| format!("^{id}\n")).collect();
        let git = repo.packed(&[], &(hex(&wants) + &nots));
        assert!(ours.is_subset(&git), "{wants:?} {haves:?}: {:?}", ours.difference(&git));
    }
}

#[test]
fn trees_are_met_again_up_to_a_bound() {
    let mut paths = Paths::new(HashKind::Sha1, Vec::new(), None).minding_moves();
    let size = 8 << 20;
    let met = (0..100).take_while(|_| paths.affords(size)).count();
    assert_eq!(met, 7, "64 MB");
    assert!(!paths.affords(0));
}
