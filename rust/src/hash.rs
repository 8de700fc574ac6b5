//! Object names and the hash functions that make them.
//!
//! Git knows two object formats, SHA-1 (20 bytes) and SHA-256 (32 bytes); both are one type
//! here, so that no code is written for the one and ported to the other
//! (`hash-function-transition` in Git's documentation).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher as StdHasher};

use sha1::Digest as _;

pub use abreast::{ABREAST, BlockSha1, gains_abreast, update_abreast};
pub use detecting::DetectingSha1;
pub use many::{MAX_HEADER, Message, hash_many};

mod abreast;
mod conditions;
mod detecting;
mod halves;
mod many;
mod registers;
mod vectors;

/// Which hash function a repository names its objects with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// 20 bytes, 40 hexadecimal digits.
    Sha1,
    /// 32 bytes, 64 hexadecimal digits.
    Sha256,
}

impl HashKind {
    /// Length of an object name in bytes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "no object name is empty")]
    pub const fn len(self) -> usize {
        match self {
            HashKind::Sha1 => 20,
            HashKind::Sha256 => 32,
        }
    }

    /// Length of an object name in hexadecimal digits.
    #[inline]
    pub const fn hex_len(self) -> usize {
        self.len() * 2
    }

    /// The name Git's configuration and protocol use (`extensions.objectFormat`).
    pub const fn name(self) -> &'static str {
        match self {
            HashKind::Sha1 => "sha1",
            HashKind::Sha256 => "sha256",
        }
    }

    /// The inverse of [`HashKind::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha1" => Some(HashKind::Sha1),
            "sha256" => Some(HashKind::Sha256),
            _ => None,
        }
    }

    /// The kind whose names have `digits` hexadecimal digits.
    pub const fn from_hex_len(digits: usize) -> Option<Self> {
        match digits {
            40 => Some(HashKind::Sha1),
            64 => Some(HashKind::Sha256),
            _ => None,
        }
    }

    /// The hash-function identifier in midx, commit-graph and reverse-index headers.
    pub const fn file_version(self) -> u8 {
        match self {
            HashKind::Sha1 => 1,
            HashKind::Sha256 => 2,
        }
    }
}

/// The name of an object: its hash, 20 or 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId {
    bytes: [u8; 32],
    kind: HashKindByte,
}

/// One byte, ordered, so that `ObjectId` derives its order from bytes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum HashKindByte {
    Sha1 = 20,
    Sha256 = 32,
}

impl ObjectId {
    /// From raw bytes; `None` unless there are 20 or 32 of them.
    #[inline]
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        let mut bytes = [0u8; 32];
        // lengths that the compiler knows make a few moves of what would be a call
        let kind = if let Ok(raw) = <&[u8; 20]>::try_from(raw) {
            bytes[..20].copy_from_slice(raw);
            HashKindByte::Sha1
        } else {
            bytes = *<&[u8; 32]>::try_from(raw).ok()?;
            HashKindByte::Sha256
        };
        Some(Self { bytes, kind })
    }

    /// From 40 or 64 hexadecimal digits, either case.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let kind = match hex.len() {
            40 => HashKindByte::Sha1,
            64 => HashKindByte::Sha256,
            _ => return None,
        };
        let mut bytes = [0u8; 32];
        for (out, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *out = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Some(Self { bytes, kind })
    }

    /// The name that stands for "no object": all zeros.
    pub const fn null(kind: HashKind) -> Self {
        Self {
            bytes: [0; 32],
            kind: match kind {
                HashKind::Sha1 => HashKindByte::Sha1,
                HashKind::Sha256 => HashKindByte::Sha256,
            },
        }
    }

    /// True for [`ObjectId::null`].
    pub fn is_null(&self) -> bool {
        self.bytes == [0; 32]
    }

    /// The raw bytes, 20 or 32.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.kind as usize]
    }

    /// Which hash function made it.
    #[inline]
    pub const fn kind(&self) -> HashKind {
        match self.kind {
            HashKindByte::Sha1 => HashKind::Sha1,
            HashKindByte::Sha256 => HashKind::Sha256,
        }
    }

    /// Appends the lower-case hexadecimal digits to `out`.
    pub fn write_hex(&self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        out.reserve(self.as_bytes().len() * 2);
        for &b in self.as_bytes() {
            out.push(DIGITS[(b >> 4) as usize]);
            out.push(DIGITS[(b & 15) as usize]);
        }
    }

    /// The lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        let mut out = Vec::new();
        self.write_hex(&mut out);
        String::from_utf8(out).expect("hex digits are ASCII because DIGITS is")
    }
}

#[inline]
fn hex_digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl std::hash::Hash for ObjectId {
    #[inline]
    fn hash<H: StdHasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
    }
}

/// A hasher for keys that are hashes already: folds the bytes eight at a time.
///
/// Every byte takes part, so that names made to share their first eight bytes do not fall into
/// one bucket unless the whole fold collides.
#[derive(Default, Clone, Copy)]
pub struct IdHasher(u64);

impl StdHasher for IdHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(23) ^ u64::from_le_bytes(word))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        // hashbrown takes the bucket from the low bits, its tag from the high ones
        self.0 ^ (self.0 >> 32)
    }
}

/// A map keyed by object name.
pub type IdMap<V> = HashMap<ObjectId, V, BuildHasherDefault<IdHasher>>;
/// A set of object names.
pub type IdSet = HashSet<ObjectId, BuildHasherDefault<IdHasher>>;

/// Hashes bytes whose author we trust, or that we write ourselves (pack trailers, our indexes),
/// on the CPU's own instructions.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-1.
    Sha1(sha1::Sha1),
    /// SHA-256.
    Sha256(sha2::Sha256),
}

impl Hasher {
    /// A fresh hasher.
    pub fn new(kind: HashKind) -> Self {
        match kind {
            HashKind::Sha1 => Hasher::Sha1(sha1::Sha1::new()),
            HashKind::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
        }
    }

    /// Takes more bytes.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha1(h) => h.update(bytes),
            Hasher::Sha256(h) => h.update(bytes),
        }
    }

    /// The name of what was taken.
    pub fn finish(self) -> ObjectId {
        match self {
            Hasher::Sha1(h) => ObjectId::from_bytes(&h.finalize()),
            Hasher::Sha256(h) => ObjectId::from_bytes(&h.finalize()),
        }
        .expect("a digest has the length of its kind because the crates say so")
    }
}

/// A stranger's bytes have one half of a SHA-1 collision in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("SHA-1 appears to be part of a collision attack")]
pub struct CollisionAttack;

/// The names of many objects that strangers sent, in their order; faster than one after the other.
pub fn checked_names(
    kind: HashKind,
    objects: &[Message<'_>],
    out: &mut Vec<ObjectId>,
) -> Result<(), CollisionAttack> {
    if kind == HashKind::Sha1 {
        let (digests, is_attack) = hash_many(objects);
        if is_attack {
            return Err(CollisionAttack);
        }
        out.extend(digests.iter().filter_map(|digest| ObjectId::from_bytes(digest)));
        return Ok(());
    }
    for (header, content) in objects {
        let mut hasher = CheckedHasher::new(kind);
        hasher.update(header);
        hasher.update(content);
        out.push(hasher.finish()?);
    }
    Ok(())
}

/// Hashes bytes that strangers send: SHA-1 with detection of collision attacks.
pub enum CheckedHasher {
    /// Detecting SHA-1.
    Sha1(Box<DetectingSha1>),
    /// SHA-256, for which no attack is known.
    Sha256(sha2::Sha256),
}

impl CheckedHasher {
    /// A fresh hasher.
    pub fn new(kind: HashKind) -> Self {
        match kind {
            HashKind::Sha1 => CheckedHasher::Sha1(Box::default()),
            HashKind::Sha256 => CheckedHasher::Sha256(sha2::Sha256::new()),
        }
    }

    /// Takes more bytes.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            CheckedHasher::Sha1(h) => h.update(bytes),
            CheckedHasher::Sha256(h) => h.update(bytes),
        }
    }

    /// The name of what was taken, unless it is part of a collision.
    pub fn finish(self) -> Result<ObjectId, CollisionAttack> {
        let id = match self {
            CheckedHasher::Sha1(h) => {
                let (digest, is_attack) = h.finish();
                if is_attack {
                    // as git: refused, not mitigated silently
                    return Err(CollisionAttack);
                }
                ObjectId::from_bytes(&digest)
            }
            CheckedHasher::Sha256(h) => ObjectId::from_bytes(&h.finalize()),
        };
        Ok(id.expect("a digest has the length of its kind because the crates say so"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        for hex in [
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            let id = ObjectId::from_hex(hex.as_bytes()).unwrap();
            assert_eq!(id.to_hex(), hex);
            assert_eq!(ObjectId::from_hex(hex.to_uppercase().as_bytes()), Some(id));
        }
        assert_eq!(ObjectId::from_hex(b"da39"), None);
        assert_eq!(ObjectId::from_hex(&[b'g'; 40]), None);
    }

    #[test]
    fn both_hashers_name_the_empty_string() {
        let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        assert_eq!(Hasher::new(HashKind::Sha1).finish().to_hex(), sha1);
        assert_eq!(CheckedHasher::new(HashKind::Sha1).finish().unwrap().to_hex(), sha1);
        let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Hasher::new(HashKind::Sha256).finish().to_hex(), sha256);
    }

    /// The first 320 bytes of the two published PDF files (shattered.io): the same SHA-1.
    const SHATTERED_PREFIX: [&str; 5] = [
        "255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f",
        "4865696768742033203020522f547970652034203020522f537562747970652035203020522f4669",
        "6c7465722036203020522f436f6c6f7253706163652037203020522f4c656e677468203820302052",
        "2f42697473506572436f6d706f6e656e7420383e3e0a73747265616d0affd8fffe00245348412d31",
        "20697320646561642121212121852fec092339759c39b1a1c63c4c97e1fffe01",
    ];
    const SHATTERED_BLOCKS: [[&str; 4]; 2] = [
        [
            "7346dc9166b67e118f029ab621b2560ff9ca67cca8c7f85ba84c79030c2b3de218f86db3a90901d5",
            "df45c14f26fedfb3dc38e96ac22fe7bd728f0e45bce046d23c570feb141398bb552ef5a0a82be331",
            "fea48037b8b5d71f0e332edf93ac3500eb4ddc0decc1a864790c782c76215660dd309791d06bd0af",
            "3f98cda4bc4629b1",
        ],
        [
            "7f46dc93a6b67e013b029aaa1db2560b45ca67d688c7f84b8c4c791fe02b3df614f86db1690901c5",
            "6b45c1530afedfb76038e972722fe7ad728f0e4904e046c230570fe9d41398abe12ef5bc942be335",
            "42a4802d98b5d70f2a332ec37fac3514e74ddc0f2cc1a874cd0c78305a21566461309789606bd0bf",
            "3f98cda8044629a1",
        ],
    ];

    /// Both halves.
    pub(super) fn shattered() -> [Vec<u8>; 2] {
        let bytes = |hex: &[&str]| -> Vec<u8> {
            let hex = hex.concat();
            let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (0..hex.len()).step_by(2).map(digit).collect()
        };
        SHATTERED_BLOCKS.map(|blocks| [bytes(&SHATTERED_PREFIX), bytes(&blocks)].concat())
    }

    #[test]
    fn both_halves_of_the_published_collision_are_noticed() {
        let halves = shattered();
        assert_ne!(halves[0], halves[1]);
        let plain = |half: &[u8]| {
            let mut hasher = Hasher::new(HashKind::Sha1);
            hasher.update(half);
            hasher.finish()
        };
        assert_eq!(plain(&halves[0]), plain(&halves[1]));
        for half in &halves {
            // whatever pieces they come in
            for piece in [1, 63, 64, 320] {
                let mut hasher = CheckedHasher::new(HashKind::Sha1);
                half.chunks(piece).for_each(|piece| hasher.update(piece));
                assert_eq!(hasher.finish(), Err(CollisionAttack));
            }
            let mut hasher = CheckedHasher::new(HashKind::Sha1);
            hasher.update(&half[..192]);
            assert!(hasher.finish().is_ok());
        }
    }

    #[test]
    fn ids_sort_by_their_bytes() {
        let a = ObjectId::from_bytes(&[1; 20]).unwrap();
        let b = ObjectId::from_bytes(&[2; 20]).unwrap();
        assert!(a < b && !a.is_null() && ObjectId::null(HashKind::Sha1).is_null());
    }
}
