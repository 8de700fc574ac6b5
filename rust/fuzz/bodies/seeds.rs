//! Good inputs to start from, made by git.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use _core::hash::ObjectId;

use super::files::with_folder;

fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_DIR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git is installed");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("git ends");
    let _ = writer.join();
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout
}

/// A small history: commits, trees in trees, a tag, files that become deltas of each other.
fn repository(folder: &Path) {
    git(folder, &["init", "-q", "--bare", "--initial-branch=main", "."], b"");
    let mut stream = Vec::new();
    let mut text = String::new();
    for number in 0..12 {
        for line in 0..12 {
            text.push_str(&format!("line {line} of commit {number}, {}\n", number * line * 7919));
        }
        let who = format!("A <a@example.org> {} +0000", 1_600_000_000 + number);
        let message = format!("Commit {number}\n");
        stream.extend_from_slice(
            format!(
                "commit refs/heads/main\nauthor {who}\ncommitter {who}\ndata {}\n{message}\n\
                 M 100644 inline a/b/{}.txt\ndata {}\n{text}\nM 100755 inline run\ndata 3\nrun\n",
                message.len(),
                number % 3,
                text.len(),
            )
            .as_bytes(),
        );
    }
    stream.extend_from_slice(
        b"tag v1\nfrom refs/heads/main\ntagger A <a@example.org> 1600000000 +0000\ndata 2\nv1\ndone\n",
    );
    git(folder, &["fast-import", "--quiet", "--done"], &stream);
    git(folder, &["repack", "-a", "-d", "-f", "-q"], b"");
    git(folder, &["pack-refs", "--all"], b"");
}

fn the_file(folder: &Path, extension: &str) -> Vec<u8> {
    std::fs::read_dir(folder)
        .expect("the folder is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| std::fs::read(path).expect("the file can be read"))
        .expect("git made the file")
}

/// The pack of the small history, and its index.
pub fn pack_and_index() -> (Vec<u8>, Vec<u8>) {
    let mut made = None;
    with_folder("seed", |folder| {
        repository(folder);
        let packs = folder.join("objects/pack");
        made = Some((the_file(&packs, "pack"), the_file(&packs, "idx")));
    });
    made.expect("the closure has run")
}

/// A pack, and files that say again what is in it.
pub struct Helped {
    /// The pack.
    pub pack: Vec<u8>,
    /// Its index.
    pub index: Vec<u8>,
    /// Its reachability bitmap.
    pub bitmap: Vec<u8>,
    /// The commit-graph, with changed-path filters.
    pub graph: Vec<u8>,
    /// The commits, the latest first.
    pub commits: Vec<ObjectId>,
}

/// The small history with its helpers.
pub fn helped() -> Helped {
    let mut made = None;
    with_folder("seed", |folder| {
        repository(folder);
        // the same pack each time: the bitmap names it
        git(folder, &["-c", "pack.threads=1", "repack", "-adbfq"], b"");
        git(folder, &["commit-graph", "write", "--reachable", "--changed-paths"], b"");
        let packs = folder.join("objects/pack");
        let commits = git(folder, &["rev-list", "main"], b"");
        made = Some(Helped {
            pack: the_file(&packs, "pack"),
            index: the_file(&packs, "idx"),
            bitmap: the_file(&packs, "bitmap"),
            graph: std::fs::read(folder.join("objects/info/commit-graph")).expect("git wrote it"),
            commits: commits.split(|&byte| byte == b'\n').filter_map(ObjectId::from_hex).collect(),
        });
    });
    made.expect("the closure has run")
}

/// Good inputs of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let mut made = Vec::new();
    with_folder("seed", |folder| {
        repository(folder);
        let packs = folder.join("objects/pack");
        let object = |kind: &str, name: &str| git(folder, &["cat-file", kind, name], b"");
        made = match target {
            "commit" => vec![object("commit", "main"), object("commit", "main~11")],
            "tag" => vec![object("tag", "v1")],
            "tree" => vec![object("tree", "main^{tree}"), object("tree", "main:a/b")],
            "entry" => {
                let pack = the_file(&packs, "pack");
                (0..200).map(|at| pack[12 + at..12 + at + 150].to_vec()).collect()
            }
            "delta" => vec![
                b"\x05hello\x05\x0a\x90\x05\x05world".to_vec(),
                b"\x05hello\x05\x06\x03abc\xb1\x01\x03\x00".to_vec(),
            ],
            "filter" => [
                "blob:none",
                "blob:limit=1k",
                "tree:3",
                "object:type=commit",
                "sparse:oid=main:x",
                "combine:blob:none+tree:2",
                "combine:combine%3Atree%3A1+blob%3Anone",
            ]
            .iter()
            .map(|spec| spec.as_bytes().to_vec())
            .collect(),
            "index" => {
                let second = the_file(&packs, "idx");
                let pack = folder.join("first.pack");
                std::fs::write(&pack, the_file(&packs, "pack")).expect("files can be written");
                git(folder, &["index-pack", "--index-version=1", "first.pack"], b"");
                vec![second, the_file(folder, "idx")]
            }
            "multi_pack_index" => {
                git(folder, &["multi-pack-index", "write"], b"");
                vec![std::fs::read(packs.join("multi-pack-index")).expect("git wrote it")]
            }
            "bitmap" => vec![helped().bitmap],
            "commit_graph" => vec![helped().graph],
            "packed_refs" => vec![std::fs::read(folder.join("packed-refs")).expect("git wrote it")],
            "reftable" => tables(&folder.join("tables")),
            "loose_ref" => vec![b"ref: refs/heads/main\n".to_vec(), [b'a'; 41].to_vec()],
            "stored_pack" => vec![vec![], vec![0; 30]],
            "ingest" => {
                let mut pack = the_file(&packs, "pack");
                let whole = pack.clone();
                pack.truncate(pack.len() - 20);
                vec![whole, pack]
            }
            other => panic!("no seeds for {other}"),
        };
    });
    made
}

/// A table of a few refs with their logs, and a larger one with indexes.
fn tables(folder: &std::path::Path) -> Vec<Vec<u8>> {
    use _core::refs::{RefStore, RefUpdate, Reflog, UpdateOptions};
    let committer = b"A <a@b> 1700000000 +0000";
    let options =
        UpdateOptions { committer, reflog: Reflog::All, fsync: false, ..Default::default() };
    let new = _core::hash::ObjectId::from_bytes(&[0xab; 20]);
    let write = |folder: &std::path::Path, count: usize| {
        std::fs::create_dir_all(folder).expect("folders can be made");
        let store = RefStore::open_tables(folder, None, _core::hash::HashKind::Sha1);
        store.set_symbolic(b"HEAD", b"refs/heads/0", &options).expect("it can be written");
        let names: Vec<String> = (0..count).map(|n| format!("refs/heads/{n}")).collect();
        let updates: Vec<_> =
            names.iter().map(|name| RefUpdate { name: name.as_bytes(), old: None, new }).collect();
        assert!(store.update(&updates, &options).iter().all(Result::is_ok));
        let list = std::fs::read_to_string(folder.join("reftable/tables.list"));
        let name = list.expect("it was written").lines().next().expect("a table").to_owned();
        std::fs::read(folder.join("reftable").join(name)).expect("it was written")
    };
    vec![write(&folder.join("few"), 3), write(&folder.join("many"), 800)]
}
