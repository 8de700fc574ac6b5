//! Reachability bitmaps of a pack or of a multi-pack-index (`gitformat-bitmap`).
//!
//! In: what bits stand for ([`target`]), and either all that refs reach in the order of a walk, or
//! earlier bitmaps. Out: a `.bitmap` file with bitmaps of branches, of the newest commits and of some
//! before them, the fewer the older; or nothing, when objects lack something that is reachable. Each
//! bitmap is made of those of its ancestors and a walk of the rest, the oldest first. Where there are
//! earlier ones, they are taken over, and only what they do not know is walked.

mod select;
mod target;
mod walk;

use std::collections::HashSet;
use std::path::PathBuf;

pub(super) use target::Target;

use super::MaintainError;
use crate::bitmap::{Bits, Reachability, encode, encode_shortest};
use crate::graph::Found;
use crate::hash::{IdSet, ObjectId};
use crate::ingest::{HashedFile, NewFile};
use crate::object::{Commit, ObjectKind, Tag};
use crate::source::{ObjectNumber, ObjectSource};
use crate::store::Snapshot;
use crate::watch::{Phase, Watch};
use walk::Walk;

/// Bytes of bitmaps that are kept until all are made.
const MOST_BYTES: usize = 256 << 20;
/// Of so many bitmaps before it, the one is looked for from which a bitmap differs least; git's own
/// number, and its limit is 160.
const MOST_DISTANCE: usize = 10;
/// All of the pack is in the pack; there are path hashes.
const FLAGS: u16 = 0x1 | 0x4;
/// Commits without a bit that may lie between tips and those that have one: small packs that are
/// left out. Who borrows objects has no end of them.
const MOST_BEYOND: usize = 10_000;
/// When there are more earlier bitmaps, every other one goes that is no tip's.
const MOST_TAKEN_OVER: usize = 1000;

/// What is known before.
pub(super) enum Known<'k> {
    /// All that refs reach, the newest commits first.
    Found(&'k [Found]),
    /// Bitmaps of some of it.
    Earlier(&'k Reachability),
}

/// Writes the bitmaps to `path`, where no file is yet. `None`: none could be made.
pub(super) fn write(
    path: PathBuf,
    target: &Target,
    source: &Snapshot,
    known: &Known<'_>,
    tips: &[ObjectId],
    watch: &Watch,
) -> Result<Option<(NewFile, usize)>, MaintainError> {
    let room = MOST_BYTES / ((target.count() as usize).div_ceil(64) * 8).max(1);
    let mut walk = Walk::new(source, target, watch);
    let numbers = newest(target, source, tips, watch)?;
    let made = match known {
        Known::Found(found) => of_found(&mut walk, found, &numbers, room, watch)?,
        Known::Earlier(earlier) => of_earlier(&mut walk, source, earlier, &numbers, room, watch)?,
    };
    if !made || walk.made.is_empty() {
        return Ok(None);
    }
    if !walk.complete_kinds()? {
        return Err(MaintainError::Contradicted);
    }
    let file = encode_all(path, target, source, &walk)?;
    watch.end();
    Ok(Some((file, walk.made.len())))
}

/// The tips, or of those without a bit the first commits behind them that have one.
fn newest(
    target: &Target,
    source: &Snapshot,
    tips: &[ObjectId],
    watch: &Watch,
) -> Result<Vec<ObjectNumber>, MaintainError> {
    let (mut newest, mut seen) = (Vec::new(), IdSet::default());
    let (mut stack, mut room) = (tips.to_vec(), MOST_BEYOND);
    let mut reader = source.reader();
    while let Some(id) = stack.pop() {
        watch.check()?;
        let Some(number) = source.lookup(&id)? else { continue };
        if target.bit(number).is_some() {
            newest.push(number);
        } else if room > 0 && seen.insert(id) {
            room -= 1;
            let (kind, content) = reader.read(number)?;
            match kind {
                ObjectKind::Commit => stack
                    .extend(Commit::parse(content).into_iter().flat_map(|commit| commit.parents)),
                ObjectKind::Tag => stack.extend(Tag::parse(content).map(|tag| tag.target)),
                ObjectKind::Tree | ObjectKind::Blob => {}
            }
        }
    }
    newest.sort_unstable();
    newest.dedup();
    Ok(newest)
}

/// False: something has no bit, and hence nothing is of use.
fn of_found(
    walk: &mut Walk<'_>,
    found: &[Found],
    tips: &[ObjectNumber],
    room: usize,
    watch: &Watch,
) -> Result<bool, MaintainError> {
    if !walk.note(found) {
        return Ok(false);
    }
    let commits: Vec<ObjectNumber> = found
        .iter()
        .filter(|found| found.kind == ObjectKind::Commit)
        .map(|found| found.number)
        .collect();
    let Some(chosen) = choose(walk, &commits, tips, room)? else { return Ok(false) };
    watch.begin(Phase::Indexing, Some(chosen.len() as u64));
    for commit in chosen {
        if !walk.make(commit)? {
            return Ok(false);
        }
        watch.add(1);
    }
    Ok(true)
}

/// Which of these commits, the newest first, get a bitmap: the oldest first. `None`: one has a
/// parent that has no bit.
fn choose(
    walk: &mut Walk<'_>,
    commits: &[ObjectNumber],
    tips: &[ObjectNumber],
    room: usize,
) -> Result<Option<Vec<ObjectNumber>>, MaintainError> {
    let mut merges = Vec::with_capacity(commits.len());
    for &commit in commits {
        let Some(row) = walk.row(commit)? else { return Ok(None) };
        merges.push(row.parents.len() > 1);
    }
    let tips: HashSet<ObjectNumber> = tips.iter().copied().collect();
    let places = (0..).zip(commits).filter(|(_, commit)| tips.contains(commit));
    let places: Vec<u32> = places.map(|(place, _)| place).collect();
    let chosen = select::choose(&merges, &places, room);
    Ok(Some(chosen.into_iter().rev().map(|place| commits[place as usize]).collect()))
}

/// Takes over what there is, and makes bitmaps of what is new. What has no bit goes without.
fn of_earlier(
    walk: &mut Walk<'_>,
    source: &Snapshot,
    earlier: &Reachability,
    tips: &[ObjectNumber],
    room: usize,
    watch: &Watch,
) -> Result<bool, MaintainError> {
    let is_tip: HashSet<ObjectNumber> = tips.iter().copied().collect();
    let mut taken = Vec::new();
    for commit in earlier.commits() {
        if let Some(row) = walk.row(commit)? {
            taken.push((row.time, commit));
        }
    }
    // the oldest first, so that each differs little from the one before
    taken.sort_unstable();
    let mut taken: Vec<ObjectNumber> = taken.into_iter().map(|(_, commit)| commit).collect();
    if taken.len() > MOST_TAKEN_OVER {
        let mut nth = 0;
        taken.retain(|commit| {
            nth += 1;
            is_tip.contains(commit) || nth % 2 == 0
        });
    }
    let surplus = taken.len().saturating_sub(room.min(MOST_TAKEN_OVER));
    taken.drain(..surplus);
    walk.take_over(earlier, &taken)?;
    let room = room.saturating_sub(walk.made.len());
    let mut new: Vec<(u64, ObjectNumber)> = Vec::new();
    let mut seen = HashSet::new();
    let mut stack: Vec<ObjectNumber> = Vec::new();
    let mut reader = source.reader();
    for &tip in tips {
        let is_commit = matches!(reader.header(tip)?.0, ObjectKind::Commit);
        stack.extend(Some(tip).filter(|_| is_commit));
    }
    drop(reader);
    while let Some(commit) = stack.pop() {
        watch.check()?;
        if earlier.bit(commit).is_some() || !seen.insert(commit) {
            continue;
        }
        // pushed while this goes on, and with a parent that no pack of ours has
        let Some(row) = walk.row(commit)? else { continue };
        new.push((row.time, commit));
        stack.extend(&row.parents);
    }
    new.sort_unstable_by_key(|&(time, commit)| (std::cmp::Reverse(time), commit));
    let new: Vec<ObjectNumber> = new.into_iter().map(|(_, commit)| commit).collect();
    let Some(chosen) = choose(walk, &new, tips, room)? else { return Ok(false) };
    watch.begin(Phase::Indexing, Some(chosen.len() as u64));
    for commit in chosen {
        walk.make(commit)?;
        watch.add(1);
    }
    Ok(true)
}

fn encode_all(
    path: PathBuf,
    target: &Target,
    source: &Snapshot,
    walk: &Walk<'_>,
) -> Result<NewFile, MaintainError> {
    let mut file = HashedFile::create(path, source.hash_kind())?;
    file.write(b"BITM\0\x01")?;
    file.write(&FLAGS.to_be_bytes())?;
    file.write(&(walk.made.len() as u32).to_be_bytes())?;
    file.write(target.checksum.as_bytes())?;
    let mut out = Vec::new();
    for kind in &walk.kinds {
        encode(kind, &mut out);
    }
    file.write(&out)?;
    for (at, (commit, bits)) in walk.made.iter().enumerate() {
        let before = walk.made[at.saturating_sub(MOST_DISTANCE)..at].iter().rev();
        out.clear();
        let distance = encode_shortest(bits, before.map(|(_, bits): &(_, Bits)| bits), &mut out);
        // it has a bitmap, hence a bit
        let bit = target.bit(*commit).unwrap_or(0);
        file.write(&target.positions[bit as usize].to_be_bytes())?;
        file.write(&[distance, 0])?;
        file.write(&out)?;
    }
    let mut hashes = vec![0u32; walk.hashes.len()];
    for (&position, &hash) in target.positions.iter().zip(&walk.hashes) {
        hashes[position as usize] = hash;
    }
    out.clear();
    hashes.iter().for_each(|hash| out.extend(hash.to_be_bytes()));
    file.write(&out)?;
    Ok(file.finish()?)
}
