use super::header_line;
use crate::hash::ObjectId;

/// A commit without `tree` or with a line that is no object name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed commit")]
pub struct CommitError;

/// The fields of a commit that walks use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, in order.
    pub parents: Vec<ObjectId>,
    /// Committer time in seconds since 1970; 0 where it cannot be read, as git does.
    pub time: u64,
}

impl Commit {
    /// Parses the content of a commit object.
    pub fn parse(data: &[u8]) -> Result<Self, CommitError> {
        let (tree, mut rest) = header_line(data, b"tree").ok_or(CommitError)?;
        let tree = ObjectId::from_hex(tree).ok_or(CommitError)?;
        let mut parents = Vec::new();
        while let Some((parent, after)) = header_line(rest, b"parent") {
            let parent = ObjectId::from_hex(parent).ok_or(CommitError)?;
            if parent.kind() != tree.kind() {
                return Err(CommitError);
            }
            parents.push(parent);
            rest = after;
        }
        let time = header_line(rest, b"author")
            .and_then(|(_, rest)| header_line(rest, b"committer"))
            .and_then(|(who, _)| committer_time(who))
            .unwrap_or(0);
        Ok(Self { tree, parents, time })
    }
}

/// `Name <email> 1112911993 -0700`: the number behind the last `>`.
fn committer_time(who: &[u8]) -> Option<u64> {
    let after = who.iter().rposition(|&b| b == b'>')? + 1;
    let digits = who[after..].trim_ascii_start();
    let end = digits.iter().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    const PARENT: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

    #[test]
    fn fields_are_found() {
        let text = format!(
            "tree {TREE}\nparent {PARENT}\nparent {PARENT}\nauthor A <a@b> 1 +0000\n\
             committer C <c> d> 1112911993 -0700\ngpgsig x\n\nmessage\n"
        );
        let commit = Commit::parse(text.as_bytes()).unwrap();
        assert_eq!(commit.tree.to_hex(), TREE);
        assert_eq!(commit.parents.len(), 2);
        assert_eq!(commit.time, 1_112_911_993);
    }

    #[test]
    fn nonsense_is_refused_or_survived() {
        assert!(Commit::parse(b"").is_err());
        assert!(Commit::parse(b"tree 1234\n").is_err());
        assert!(Commit::parse(format!("tree {TREE}\nparent x\n").as_bytes()).is_err());
        assert_eq!(Commit::parse(format!("tree {TREE}\n").as_bytes()).unwrap().time, 0);
    }
}
