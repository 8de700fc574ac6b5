//! Does a received pack hold all that its objects lead to?
//!
//! In: each commit, tree and tag of a pack, while its content is at hand anyway. Out: the few objects
//! outside the pack that those in it lead to ([`Outside`]), or nothing where these are many or something is
//! odd. Whoever then knows that those are complete knows that everything in the pack is, without
//! inflating a single tree again; else [`super::check_connected`] walks and finds out what is wrong.
//!
//! A pack that is closed has at most as many targets as objects. So what is kept is bounded by the
//! pack, whatever its trees say, and for very large packs by [`room`], over all threads.

use std::collections::HashMap;
use std::sync::Arc;

use super::recent::{self, Recent};
use crate::allowance::Allowance;
use crate::hash::{HashKind, ObjectId};
use crate::object::{Commit, ObjectKind, Tag, TreeIter};

/// More objects than this outside the pack are as well looked for by a walk, which compares with
/// what was there before, tree by tree.
pub const MOST_OUTSIDE: usize = 1000;

/// Bytes of targets, some seven million, that are gathered of one pack: what its header promises need
/// not come, and a walk, which keeps a bit an object, can tell as well.
const MOST_BYTES: u64 = 300 << 20;
/// Of one, in a map that may be half empty.
const TARGET_BYTES: usize = 43;
/// Room is asked for so many at once.
const TARGETS_AT_ONCE: usize = 1000;

/// Of smaller packs nobody gathers links: walking them is quicker than what follows.
pub const WORTH_GATHERING: u32 = 2000;

/// The objects outside a pack that those in it lead to, each with its kind.
pub type Outside = Vec<(ObjectId, ObjectKind)>;

/// What the objects that one thread looked at lead to.
pub struct Links {
    hash: HashKind,
    /// Keyed by what strangers choose, so hashed with a secret.
    targets: HashMap<ObjectId, ObjectKind>,
    most: usize,
    room: Arc<Allowance>,
    /// For so many targets there is room.
    reserved: usize,
    recent_trees: Recent,
    recent_blobs: Recent,
    /// Too many, or something that only a walk can judge.
    given_up: bool,
}

/// What the threads that look at one pack may gather together.
pub fn room() -> Arc<Allowance> {
    Arc::new(Allowance::new(MOST_BYTES))
}

impl Links {
    /// For a part of a pack of `objects`.
    pub fn new(hash: HashKind, objects: u32, room: Arc<Allowance>) -> Self {
        Self {
            hash,
            targets: HashMap::new(),
            most: (objects as usize).saturating_add(MOST_OUTSIDE),
            room,
            reserved: 0,
            recent_trees: Recent::new(hash, recent::FEW),
            recent_blobs: Recent::new(hash, recent::MANY),
            given_up: false,
        }
    }

    /// Notes what an object of the pack leads to.
    pub fn look(&mut self, kind: ObjectKind, content: &[u8]) {
        if self.given_up {
            return;
        }
        let understood = match kind {
            ObjectKind::Blob => Some(()),
            ObjectKind::Tree => self.look_at_tree(content),
            ObjectKind::Commit => self.look_at_commit(content),
            ObjectKind::Tag => {
                Tag::parse(content).ok().and_then(|tag| self.add(tag.target, tag.kind))
            }
        };
        if understood.is_none() {
            self.given_up = true;
            self.targets = HashMap::new();
        }
    }

    fn look_at_commit(&mut self, content: &[u8]) -> Option<()> {
        let commit = Commit::parse(content).ok()?;
        self.add(commit.tree, ObjectKind::Tree)?;
        commit.parents.iter().try_for_each(|parent| self.add(*parent, ObjectKind::Commit))
    }

    fn look_at_tree(&mut self, content: &[u8]) -> Option<()> {
        for entry in TreeIter::new(content, self.hash) {
            let entry = entry.ok()?;
            let (recent, kind) = if entry.mode.is_tree() {
                (&mut self.recent_trees, ObjectKind::Tree)
            } else if entry.mode.is_gitlink() {
                continue;
            } else {
                (&mut self.recent_blobs, ObjectKind::Blob)
            };
            if !recent.note(entry.id) {
                self.add(ObjectId::from_bytes(entry.id)?, kind)?;
            }
        }
        Some(())
    }

    fn add(&mut self, target: ObjectId, kind: ObjectKind) -> Option<()> {
        if self.targets.len() == self.reserved {
            self.room.take(TARGETS_AT_ONCE * TARGET_BYTES).ok()?;
            self.reserved += TARGETS_AT_ONCE;
        }
        let known = *self.targets.entry(target).or_insert(kind);
        (known == kind && target.kind() == self.hash && self.targets.len() <= self.most)
            .then_some(())
    }

    /// The targets that `kind_of` does not find in the pack; `None` where only a walk can tell
    /// whether all is well.
    fn outside(self, kind_of: &impl Fn(&ObjectId) -> Option<ObjectKind>) -> Option<Outside> {
        if self.given_up {
            return None;
        }
        let mut outside = Vec::new();
        for (target, kind) in self.targets {
            match kind_of(&target) {
                Some(found) if found == kind => {}
                None if outside.len() < MOST_OUTSIDE => outside.push((target, kind)),
                _ => return None,
            }
        }
        Some(outside)
    }
}

/// What the objects of a pack lead to outside it, from the links that the threads gathered.
/// `kind_of` knows what is in the pack.
pub fn outside(
    parts: Vec<Links>,
    kind_of: impl Fn(&ObjectId) -> Option<ObjectKind> + Sync,
) -> Option<Outside> {
    let kind_of = &kind_of;
    let found: Vec<Option<Outside>> = std::thread::scope(|scope| {
        let (mut parts, mut threads) = (parts.into_iter(), Vec::new());
        let first = parts.next();
        for part in parts {
            // gone with the part where no thread is to be had
            threads.push(
                std::thread::Builder::new().spawn_scoped(scope, move || part.outside(kind_of)),
            );
        }
        let mut found = vec![first.map_or_else(|| Some(Vec::new()), |part| part.outside(kind_of))];
        found.extend(threads.into_iter().map(|thread| thread.ok()?.join().ok()?));
        found
    });
    let mut all: Outside = Vec::new();
    for part in found {
        all.extend(part?);
    }
    all.sort_unstable_by_key(|(id, kind)| (*id, *kind));
    all.dedup();
    // one name for two kinds
    let is_odd = all.windows(2).any(|pair| pair[0].0 == pair[1].0);
    (!is_odd && all.len() <= MOST_OUTSIDE).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: HashKind = HashKind::Sha1;

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_bytes(&[byte; 20]).unwrap()
    }

    fn tree(entries: &[(&str, u8)]) -> Vec<u8> {
        entries
            .iter()
            .flat_map(|(mode, byte)| [format!("{mode} {byte}\0").as_bytes(), &[*byte; 20]].concat())
            .collect()
    }

    fn gather(objects: &[(ObjectKind, &[u8])]) -> Option<Outside> {
        let mut links = Links::new(HASH, 3, room());
        objects.iter().for_each(|(kind, content)| links.look(*kind, content));
        // in the pack: tree 1, blob 2, commit 3
        outside(vec![Links::new(HASH, 3, room()), links], |id| match id.as_bytes()[0] {
            1 => Some(ObjectKind::Tree),
            2 => Some(ObjectKind::Blob),
            3 => Some(ObjectKind::Commit),
            _ => None,
        })
    }

    #[test]
    fn what_is_not_in_the_pack_is_told() {
        let inside = tree(&[("100644", 2), ("40000", 1), ("160000", 9)]);
        assert_eq!(gather(&[(ObjectKind::Tree, &inside)]), Some(vec![]));
        let commit = format!("tree {}\nparent {}\nparent {}\nauthor", id(1), id(3), id(7));
        let tag = format!("object {}\ntype commit\ntag x\n", id(7));
        let outside = tree(&[("100644", 8)]);
        let objects: [(ObjectKind, &[u8]); 4] = [
            (ObjectKind::Commit, commit.as_bytes()),
            (ObjectKind::Tree, &outside),
            (ObjectKind::Tag, tag.as_bytes()),
            (ObjectKind::Blob, b"anything"),
        ];
        let wanted = vec![(id(7), ObjectKind::Commit), (id(8), ObjectKind::Blob)];
        assert_eq!(gather(&objects), Some(wanted));
    }

    #[test]
    fn what_is_odd_is_left_to_a_walk() {
        let commit = format!("tree {}\nauthor", id(2));
        for (kind, content) in [
            (ObjectKind::Commit, commit.as_bytes()),
            (ObjectKind::Tree, &tree(&[("40000", 2)])),
            (ObjectKind::Tree, &tree(&[("100644", 1)])),
            (ObjectKind::Tree, &tree(&[("100644", 5), ("40000", 5)])),
            (ObjectKind::Tree, b"no tree"),
            (ObjectKind::Tag, b"no tag"),
            (ObjectKind::Commit, b"no commit"),
        ] {
            assert_eq!(gather(&[(kind, content)]), None, "{content:?}");
        }
        // the same, from two threads
        let part = |mode| {
            let mut links = Links::new(HASH, 3, room());
            links.look(ObjectKind::Tree, &tree(&[(mode, 5)]));
            links
        };
        assert_eq!(outside(vec![part("100644"), part("40000")], |_| None), None);
    }

    #[test]
    fn a_hostile_tree_takes_bounded_room() {
        let mut links = Links::new(HASH, 3, room());
        for number in 0..20 * MOST_OUTSIDE as u32 {
            let mut name = [7; 20];
            name[..4].copy_from_slice(&number.to_le_bytes());
            links.look(ObjectKind::Tree, &[&b"100644 x\0"[..], &name].concat());
            assert!(links.targets.len() <= 4 + MOST_OUTSIDE);
        }
        assert_eq!(outside(vec![links], |_| None), None);
    }

    #[test]
    fn threads_share_their_room() {
        let room = Arc::new(Allowance::new(3 * (TARGETS_AT_ONCE * TARGET_BYTES) as u64));
        let mut parts = [0, 1].map(|_| Links::new(HASH, u32::MAX, Arc::clone(&room)));
        for number in 0..2 * TARGETS_AT_ONCE as u32 {
            let mut name = [7; 20];
            name[..4].copy_from_slice(&number.to_le_bytes());
            let tree = [&b"100644 x\0"[..], &name].concat();
            parts.iter_mut().for_each(|part| part.look(ObjectKind::Tree, &tree));
        }
        assert!(!parts[0].given_up && parts[1].given_up, "whatever a header promises");
    }
}
