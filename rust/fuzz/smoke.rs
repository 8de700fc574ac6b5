//! The fuzz targets on mutated seeds, a bounded number of times, as a plain test.
//!
//! Not a search, a guard: it runs everywhere, is the same every time, and catches the first panic
//! that a careless index brings. `make fuzz` searches.

#![allow(clippy::unwrap_used, missing_docs)]

mod bodies;

use bodies::{TARGETS, Target, seeds};

/// xorshift64*: the mutations must be the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }
}

const INTERESTING: [u8; 8] = [0, 1, 0x0f, 0x70, 0x7f, 0x80, 0xfe, 0xff];

fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len());
        match random.below(7) {
            _ if data.is_empty() => data.push(random.next() as u8),
            0 => data.truncate(at),
            1 => data[at] ^= 1 << random.below(8),
            2 => data[at] = INTERESTING[random.below(INTERESTING.len())],
            3 => data[at] = random.next() as u8,
            4 => data.insert(at, random.next() as u8),
            5 => {
                let end = (at + random.below(16)).min(data.len());
                data.drain(at..end);
            }
            _ => {
                let end = (at + 4).min(data.len());
                data[at..end].fill(INTERESTING[random.below(INTERESTING.len())]);
            }
        }
    }
    data
}

/// Prints the input that a panic came from.
struct Shown<'a>(&'a Target, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("fuzz target {} fails on {hex}", self.0.name);
        }
    }
}

fn run(target: &Target, data: &[u8]) {
    let _shown = Shown(target, data);
    (target.body)(data);
}

fn smoke(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds::of(name);
    for seed in &seeds {
        run(target, seed);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..target.tries {
        run(target, &mutate(&seeds[number as usize % seeds.len()], &mut random));
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { smoke(stringify!($name)); })*

        #[test]
        fn every_target_is_run() {
            let here = [$(stringify!($name)),*];
            assert_eq!(here.to_vec(), TARGETS.iter().map(|t| t.name).collect::<Vec<_>>());
        }
    };
}

targets! {
    commit tag tree entry delta filter index multi_pack_index packed_refs reftable loose_ref
    bitmap commit_graph stored_pack ingest
}
