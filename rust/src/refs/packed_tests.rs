//! Rewriting `packed-refs`, with real git as the judge.

use super::testing::{COMMITTER, Fixture, delete, plain, set};
use super::{Reflog, UpdateOptions};
use crate::hash::HashKind;

#[test]
fn many_refs_go_into_packed_refs() {
    for (kind, is_atomic) in [(HashKind::Sha1, false), (HashKind::Sha256, true)] {
        let it = Fixture::new(kind);
        it.repo.git("tag -a -m t annotated");
        it.repo.git("branch b/050");
        it.repo.git("branch b-is-packed");
        it.repo.git("pack-refs --all");
        it.repo.git("branch b/051");
        it.repo.git("tag -f b/tag-050 main");
        let tag = it.repo.id("refs/tags/annotated");
        let objects = it.repo.objects();
        let mut names: Vec<String> = (0..200).map(|n| format!("refs/heads/b/{n:03}")).collect();
        names.extend((0..100).map(|n| format!("refs/tags/b/tag-{n:03}")));
        let value = |name: &str| if name.contains("tags") { tag } else { it.two };
        let updates: Vec<_> = names.iter().rev().map(|name| set(name, value(name))).collect();
        let options = UpdateOptions {
            objects: Some(&objects),
            atomic: is_atomic,
            committer: COMMITTER,
            reflog: Reflog::Branches,
            ..UpdateOptions::default()
        };
        assert_eq!(it.update(&updates, &options), vec!["ok"; 300]);
        let loose = std::process::Command::new("find")
            .args([it.repo.git_dir().join("refs").to_str().unwrap(), "-type", "f"])
            .output()
            .unwrap();
        assert!(loose.stdout.is_empty(), "{}", String::from_utf8_lossy(&loose.stdout));
        assert_eq!(it.repo.git("reflog show b/199").lines().count(), 1);
        // what git would have written, had it packed them
        let ours = std::fs::read_to_string(it.repo.git_dir().join("packed-refs")).unwrap();
        it.repo.git("update-ref refs/heads/x main");
        it.repo.git("pack-refs --all");
        let theirs = std::fs::read_to_string(it.repo.git_dir().join("packed-refs")).unwrap();
        let x = format!("{} refs/heads/x\n", it.one);
        assert_eq!(ours, theirs.replace(&x, ""));
        // and names collide here as they do elsewhere
        let mut updates: Vec<_> = names.iter().map(|name| set(name, it.three)).collect();
        let long: Vec<String> = names.iter().map(|name| format!("{name}/x")).collect();
        updates.extend(long[..3].iter().map(|name| set(name, it.three)));
        let results = it.store.update(&updates, &options);
        assert_eq!(
            results.iter().filter(|result| result.is_err()).count(),
            if is_atomic { 303 } else { 3 }
        );
        it.check();
        assert!(it.locks().is_empty());
    }
}

#[test]
fn rewriting_packed_refs_keeps_what_its_header_says() {
    for header in
        ["", "# pack-refs with: peeled \n", "# pack-refs with: peeled fully-peeled sorted \n"]
    {
        let it = Fixture::new(HashKind::Sha1);
        it.repo.git("tag -a -m t v1");
        let (one, tag) = (it.one, it.repo.id("refs/tags/v1"));
        let peeled = if header.is_empty() { String::new() } else { format!("^{one}\n") };
        it.repo.git("update-ref -d refs/tags/v1");
        let packed =
            format!("{header}{one} refs/heads/a\n{one} refs/heads/b\n{tag} refs/tags/v1\n{peeled}");
        it.repo.write("packed-refs", &packed);
        assert_eq!(it.update(&[delete("refs/heads/a")], &plain()), ["ok"]);
        let now = std::fs::read_to_string(it.repo.git_dir().join("packed-refs")).unwrap();
        let words = header.trim_start_matches("# pack-refs with:").trim().replace(" sorted", "");
        let words = format!("{words} sorted");
        assert_eq!(
            now,
            format!(
                "# pack-refs with: {} \n{one} refs/heads/b\n{tag} refs/tags/v1\n{peeled}",
                words.trim()
            )
        );
        assert_eq!(it.repo.git("rev-parse v1^{}"), one.to_hex());
    }
}

#[test]
fn packed_refs_may_be_a_symbolic_link() {
    let it = Fixture::new(HashKind::Sha1);
    it.repo.git("branch a");
    it.repo.git("pack-refs --all");
    let elsewhere = tempfile::tempdir().unwrap();
    let (link, real) = (it.repo.git_dir().join("packed-refs"), elsewhere.path().join("refs"));
    std::fs::rename(&link, &real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert_eq!(it.update(&[delete("refs/heads/a")], &plain()), ["ok"]);
    assert!(link.is_symlink());
    assert!(!std::fs::read_to_string(&real).unwrap().contains("refs/heads/a"));
}
