//! Is a roll-up worth its while? Asked after every push, so it must cost less than that.
//!
//! In: an `objects` folder. Out: yes or no, from the names of packs, the counts in their indexes
//! and a sample of the folders of loose objects.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{Least, choose, retire};

/// Folders of loose objects that are counted, of the 256 there are.
const SAMPLE: [&str; 4] = ["17", "5a", "9c", "e3"];

/// Would so many packs be rolled up, or are there about so many loose objects?
pub fn is_due(objects: &Path, factor: u64, least: Least) -> bool {
    let sampled: usize = SAMPLE.iter().map(|group| names(&objects.join(group)).len()).sum();
    if sampled * (256 / SAMPLE.len()) >= least.loose {
        return true;
    }
    let folder = objects.join("pack");
    let mut names = names(&folder);
    // being removed just now
    names.retain(|name| !name.starts_with(retire::GONE));
    let stems = |suffix| names.iter().filter_map(move |name| name.strip_suffix(suffix));
    let indexes = stems(".idx").count();
    if indexes < least.packs {
        return false;
    }
    let marked: HashSet<&str> =
        stems(".keep").chain(stems(".promisor")).chain(stems(".mtimes")).collect();
    let ours = stems(".idx").filter(|stem| !marked.contains(stem));
    let mut counts: Vec<u64> =
        ours.filter_map(|stem| objects_in(&folder.join(format!("{stem}.idx")))).collect();
    counts.sort_unstable();
    choose::roll_up(&counts, 0, factor) >= least.packs
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// The last row of the fan-out of an index of either version.
fn objects_in(index: &Path) -> Option<u64> {
    let file = File::open(index).ok()?;
    let mut head = [0; 4];
    file.read_exact_at(&mut head, 0).ok()?;
    let start = if head == [0xff, b't', b'O', b'c'] { 8 } else { 0 };
    let mut count = [0; 4];
    file.read_exact_at(&mut count, start + 255 * 4).ok()?;
    Some(u64::from(u32::from_be_bytes(count)))
}
