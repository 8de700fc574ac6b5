//! Bad objects of every kind: what we say of them, and what real git says.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::check::{Examiner, report};
use super::message::{Message, Rules, Severity};
use super::names::{GITMODULES, is_dotgit, is_dotted};
use super::special::{check_gitattributes, check_gitmodules};
use super::{commit, tag, tree};
use crate::hash::{HashKind, ObjectId};
use crate::object::ObjectKind;
use crate::store::testing::TestRepo;
use crate::watch::Watch;

const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const WHO: &str = "A U Thor <author@example.com> 1700000000 +0000";

fn commits() -> Vec<Vec<u8>> {
    let whole = |ident: &str| format!("tree {TREE}\nauthor {ident}\ncommitter {WHO}\n\nbody\n");
    let idents = [
        WHO,
        "<author@example.com> 1700000000 +0000",
        "A U Thor author@example.com 1700000000 +0000",
        "A U Thor> <author@example.com> 1700000000 +0000",
        "A U Thor<author@example.com> 1700000000 +0000",
        "A U Thor <author@example.com 1700000000 +0000",
        "A U Thor <author<@example.com> 1700000000 +0000",
        "A U Thor <author@example.com>1700000000 +0000",
        "A U Thor <author@example.com> 01700000000 +0000",
        "A U Thor <author@example.com> x1700000000 +0000",
        "A U Thor <author@example.com> 1700000000 0000",
        "A U Thor <author@example.com> 1700000000 +000",
        "A U Thor <author@example.com> 17000000000000000000000000000000 +0000",
        "A U Thor <author@example.com> 1700000000",
        " <author@example.com> 1700000000 +0000",
    ];
    let mut all: Vec<String> = idents.map(whole).to_vec();
    all.push(format!("author {WHO}\ncommitter {WHO}\n\n"));
    all.push(format!("tree {}\nauthor {WHO}\ncommitter {WHO}\n\n", &TREE[1..]));
    all.push(format!("tree {TREE}\nparent x\nauthor {WHO}\ncommitter {WHO}\n\n"));
    all.push(format!("tree {TREE}\ncommitter {WHO}\n\n"));
    all.push(format!("tree {TREE}\nauthor {WHO}\nauthor {WHO}\ncommitter {WHO}\n\n"));
    all.push(format!("tree {TREE}\nauthor {WHO}\n\n"));
    all.push(format!("tree {TREE}\nauthor {WHO}\ncommitter {WHO}\n"));
    all.push(format!("tree {TREE}\nauthor {WHO}\ncommitter {WHO}"));
    all.push(format!("tree {TREE}\nauthor {WHO}\ncommitter {WHO}\n\nbo\0dy"));
    all.push(format!("tree {TREE}\nauthor {WHO}\nenco\0ding x\ncommitter {WHO}\n\nbody"));
    all.into_iter().map(String::into_bytes).collect()
}

fn tags(target: &str) -> Vec<Vec<u8>> {
    let good = format!("object {target}\ntype tree\ntag v1\ntagger {WHO}\n\nbody\n");
    let swap = |from: &str, to: &str| good.replace(from, to);
    [
        good.clone(),
        swap("object ", "objekt "),
        swap("type tree", "typo tree"),
        swap("type tree", "type thing"),
        swap("tag v1\n", ""),
        swap("tag v1", "tag v1..2"),
        swap("tag v1", "tag a.lock"),
        swap(&format!("tagger {WHO}\n"), ""),
        swap(WHO, "A U Thor author@example.com 1700000000 +0000"),
        swap("\n\nbody\n", ""),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn trees(blob: &[u8]) -> Vec<Vec<u8>> {
    let names: &[&[&str]] = &[
        &["100644 a", "100755 b", "120000 c", "100664 d"],
        &["0100644 a"],
        &["100645 a"],
        &["100644 b", "100644 a"],
        &["100644 a", "100644 a"],
        &["100644 a", "100644 a.c", "40000 a"],
        &["100644 a-", "40000 a", "100644 a0"],
        &["40000 a", "100644 a-"],
        &["100644 ."],
        &["100644 .."],
        &["40000 .git"],
        &["40000 .GiT"],
        &["40000 git~1"],
        &["40000 .git. ."],
        &["40000 .git::$INDEX_ALLOCATION"],
        &["40000 .g\u{200c}it"],
        &["100644 a\\.git"],
        &["100644 a/b"],
        &["120000 .gitmodules"],
        &["120000 GITMOD~1"],
        &["120000 gi7eba~1"],
        &["120000 gi7eb~10"],
        &["120000 .gitmodules ."],
        &["120000 .gitm\u{200d}odules"],
        &["120000 .gitattributes", "120000 .gitignore", "120000 .mailmap"],
        &["100644 .gitmodule", "100644 gitmodules", "100644 .gitmodulesx"],
    ];
    let mut all: Vec<Vec<u8>> = names
        .iter()
        .map(|entries| {
            let entry = |entry: &&str| [entry.as_bytes(), b"\0", blob].concat();
            entries.iter().flat_map(entry).collect()
        })
        .collect();
    all.push([b"100644 null\0".as_slice(), &[0; 20]].concat());
    all.push([b"100644 ".as_slice(), &[b'x'; 4097], b"\0", blob].concat());
    all
}

fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> (bool, String) {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn ours(kind: &str, data: &[u8]) -> BTreeSet<String> {
    let mut faults = Vec::new();
    match kind {
        "commit" => commit::check(data, 40, &mut faults),
        "tag" => tag::check(data, 40, &mut faults),
        _ => tree::check(data, 20, &mut faults, &mut tree::Found::default()),
    }
    let said = faults.iter().filter(|fault| fault.message.severity() != Severity::Ignore);
    said.map(|fault| fault.message.name().to_owned()).collect()
}

#[test]
fn git_finds_the_same_faults() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert!(git(at, &["init", "-q"], b"").0);
    let write = |kind: &str, data: &[u8]| {
        let arguments = ["hash-object", "-w", "--literally", "-t", kind, "--stdin"];
        let (well, said) = git(at, &arguments, data);
        assert!(well, "{said}");
        said.trim().to_owned()
    };
    write("tree", b"");
    let blob = write("blob", b"x");
    let raw: Vec<u8> =
        (0..40).step_by(2).map(|i| u8::from_str_radix(&blob[i..i + 2], 16).unwrap()).collect();
    let mut objects = Vec::new();
    for (kind, contents) in [("commit", commits()), ("tag", tags(TREE)), ("tree", trees(&raw))] {
        for data in contents {
            objects.push((write(kind, &data), kind, data));
        }
    }
    let (_, said) = git(at, &["fsck", "--no-dangling", "--no-reflogs"], b"");
    let mut compared = 0;
    for (id, kind, data) in objects {
        // what git cannot parse at all it says no more of
        if said.contains(&format!("{id}: object could not be parsed")) {
            assert!(!ours(kind, &data).is_empty(), "{kind} {id}");
            continue;
        }
        compared += 1;
        let place = format!(" in {kind} {id}: ");
        let lines = said.lines().filter_map(|line| line.split_once(&place));
        let theirs: BTreeSet<String> =
            lines.map(|(_, rest)| rest.split(':').next().unwrap().to_owned()).collect();
        let known = |name: &&String| Message::ALL.iter().any(|message| message.name() == **name);
        let theirs: BTreeSet<String> = theirs.iter().filter(known).cloned().collect();
        // older gits do not know of these yet
        let newer = ["largePathname", "badFilemode", "gitignoreSymlink", "mailmapSymlink"];
        let ours: BTreeSet<String> = ours(kind, &data);
        let strip = |set: &BTreeSet<String>| -> BTreeSet<String> {
            set.iter().filter(|name| !newer.contains(&name.as_str())).cloned().collect()
        };
        let shown = String::from_utf8_lossy(&data[..data.len().min(200)]).into_owned();
        assert_eq!(strip(&ours), strip(&theirs), "{kind} {shown:?}");
    }
    assert!(compared > 40, "{compared}: {said}");
}

#[test]
fn names_that_are_dotgit_somewhere() {
    for name in [".git", ".GIT", "git~1", "GIT~1", ".git ", ".git...", ".git:x", ".git\\x"] {
        assert!(is_dotgit(name.as_bytes()), "{name}");
    }
    for name in ["git", ".gitx", "git~2", ".gi", ".git.x", "x.git", ""] {
        assert!(!is_dotgit(name.as_bytes()), "{name}");
    }
    for name in [".gitmodules", "gitmod~4", "GI7EBA~9", "gi7e~123", "g~123456", ".gitmodules:"] {
        assert!(is_dotted(name.as_bytes(), GITMODULES), "{name}");
    }
    for name in ["gitmod~5", "gi7eba~", "gi7ebb~1", "gi7eba~1x", "gi7eba~0", ".gitmodule", "g"] {
        assert!(!is_dotted(name.as_bytes(), GITMODULES), "{name}");
    }
}

fn modules(text: &str) -> Vec<Message> {
    check_gitmodules(text.as_bytes()).into_iter().map(|fault| fault.message).collect()
}

#[test]
fn what_submodules_may_say() {
    let one = |line: &str| modules(&format!("[submodule \"a\"]\n\t{line}\n"));
    for good in [
        "url = https://example.com/a.git",
        "url = ../a",
        "url = ./a:b",
        "url = git@example.com:a",
        "path = a/-b",
        "update = merge",
        "branch",
        "url = \"quoted # not a comment\" ; comment",
    ] {
        assert_eq!(one(good), [], "{good}");
    }
    assert_eq!(one("url = -u./payload"), [Message::GitmodulesUrl]);
    assert_eq!(one("url = git://host/a%0ab"), [Message::GitmodulesUrl]);
    assert_eq!(one("url = https://example.com/%0ahost=evil"), [Message::GitmodulesUrl]);
    assert_eq!(one("url = https:///nohost"), [Message::GitmodulesUrl]);
    assert_eq!(one("url = http::https://:80/x"), [Message::GitmodulesUrl]);
    assert_eq!(one("url = ../../../:evil"), [Message::GitmodulesUrl]);
    assert_eq!(one("path = -a"), [Message::GitmodulesPath]);
    assert_eq!(one("update = !rm"), [Message::GitmodulesUpdate]);
    assert_eq!(one("update = \"!rm\""), [Message::GitmodulesUpdate]);
    assert_eq!(one("update = \\\n!rm"), [Message::GitmodulesUpdate]);
    assert_eq!(modules("[submodule \"../a\"]\npath = a\n"), [Message::GitmodulesName]);
    assert_eq!(modules("[submodule \"a\\\\..\\\\b\"]\n"), [Message::GitmodulesName]);
    assert_eq!(modules("[submodule \"a\n\"]\n"), [Message::GitmodulesParse]);
    assert_eq!(modules("[submodule \"a\"]\n= b\n"), [Message::GitmodulesParse]);
    assert_eq!(modules("[other \"..\"]\n\turl = -x\n"), []);
}

#[test]
fn so_many_files_are_not_looked_for() {
    let repo = TestRepo::new(HashKind::Sha1);
    let mut examiner = Examiner::new(Arc::default(), HashKind::Sha1);
    let mut data = Vec::new();
    for number in 0..tree::MOST_FOUND as u32 + 2 {
        data.extend_from_slice(b"100644 .gitattributes\0");
        data.extend_from_slice(&[&number.to_be_bytes()[..], &[7; 16]].concat());
    }
    let id = ObjectId::from_hex(TREE.as_bytes()).unwrap();
    examiner.look(0, &id, ObjectKind::Tree, &data);
    assert_eq!(examiner.found.gitattributes.len(), tree::MOST_FOUND + 1);
    let report = report(vec![examiner], &repo.snapshot(), &Watch::new()).unwrap();
    assert!(report.refused);
    let told = "error: more than 500000 different .gitattributes files";
    assert!(report.lines.iter().any(|line| line == told), "{:?}", report.lines);
}

#[test]
fn lines_of_attributes_are_short() {
    let line = [b'x'; 2047];
    assert_eq!(check_gitattributes(&[line.as_slice(), b"\n", &line].concat()), None);
    assert!(check_gitattributes(&[line.as_slice(), b"y\n"].concat()).is_some());
}

#[test]
fn rules_are_strict_until_they_are_told_otherwise() {
    let mut rules = Rules::default();
    assert_eq!(rules.severity(Message::HasDotgit), Severity::Error);
    assert_eq!(rules.severity(Message::BadFilemode), Severity::Info);
    assert!(rules.set(Message::HasDotgit, Severity::Warn));
    assert_eq!(rules.severity(Message::HasDotgit), Severity::Warn);
    // what nobody can read stays refused
    assert!(!rules.set(Message::UnterminatedHeader, Severity::Warn));
    assert_eq!(rules.severity(Message::UnterminatedHeader), Severity::Fatal);
}
