//! A repository of real git with a history of small changes, in one pack.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use _core::hash::{HashKind, ObjectId};
use _core::store::Store;

const COMMITS: u32 = 600;
const FILES: u32 = 120;

/// In a folder that goes when it does.
pub struct Repository(tempfile::TempDir);

impl Repository {
    pub fn new() -> Self {
        let made = Self(tempfile::tempdir().expect("there is room for a temporary folder"));
        made.git(&["init", "-q", "--bare", "--initial-branch=main", "."], b"");
        made.git(&["fast-import", "--quiet"], history().as_bytes());
        made.git(&["-c", "repack.writeBitmaps=false", "repack", "-adfq"], b"");
        made
    }

    pub fn store(&self) -> Arc<Store> {
        Store::open(&self.0.path().join("objects"), HashKind::Sha1, &[]).expect("git made it")
    }

    pub fn id(&self, revision: &str) -> ObjectId {
        let out = self.git(&["rev-parse", revision], b"");
        ObjectId::from_hex(out.trim_ascii()).expect("git writes ids in hexadecimal")
    }

    fn git(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.0.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the benches need git");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("git reads it");
        drop(stdin);
        let out = child.wait_with_output().expect("it was started");
        assert!(out.status.success(), "git {arguments:?}");
        out.stdout
    }
}

/// Each commit changes three files a little.
fn history() -> String {
    let mut stream = String::new();
    for nth in 0..COMMITS {
        let when = 1_700_000_000 + nth * 60;
        stream += &format!("commit refs/heads/main\ncommitter C <c@example.com> {when} +0000\n");
        stream += "data 7\nchange\n";
        for part in 0..3 {
            let file = (nth * 7 + part * 41) % FILES;
            let content: String = (0..120)
                .map(|line| {
                    format!(
                        "{line} {}\n",
                        line * file + if line % 60 == nth % 60 { nth } else { 0 }
                    )
                })
                .collect();
            let path = format!("dir{}/sub{}/file{file}", file % 5, file % 11);
            stream += &format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len());
        }
    }
    stream
}
