//! The disturbance vectors that collision attacks on SHA-1 can be built from.
//!
//! In flows nothing, out flow for each vector the differences that it puts into the 80 expanded
//! message words. Both are computed here from their definition, as Stevens gives it in "Counter-cryptanalysis"
//! (CRYPTO 2013) after Manuel: a vector is a solution of the message expansion that is zero in 15
//! or 13 of 16 successive words, and each of its bits starts a local collision of six steps.

/// How many vectors are looked for: the 32 that "Speeding up detection of SHA-1 collision attacks
/// using unavoidable attack conditions" (Stevens and Shumow, USENIX Security 2017) found cheap
/// enough to matter.
pub(super) const VECTORS: usize = 32;

/// Before which step two messages that differ by a vector have the same state: there is one step
/// for all vectors that begin before word 50 ([`EARLY`]), and one for the others.
pub(super) const EQUAL_AT: [usize; 2] = [58, 65];

/// A bit for each vector that has equal states before the earlier of [`EQUAL_AT`].
pub(super) const EARLY: u32 = {
    let (mut bits, mut at) = (0, 0);
    while at < VECTORS {
        if VECTOR[at].begins < 50 {
            bits |= 1 << at;
        }
        at += 1;
    }
    bits
};

/// The differences of the 80 expanded words, of all vectors side by side.
pub(super) static DIFFERENCES: [[u32; VECTORS]; 80] = {
    let mut rows = [[0; VECTORS]; 80];
    let mut at = 0;
    while at < VECTORS {
        let mut step = 0;
        while step < 80 {
            rows[step][at] = VECTOR[at].difference[step];
            step += 1;
        }
        at += 1;
    }
    rows
};

struct Vector {
    difference: [u32; 80],
    begins: usize,
}

/// In the order of the bits of [`super::conditions`].
const VECTOR: [Vector; VECTORS] = [
    of(1, 43, 0),
    of(1, 44, 0),
    of(1, 45, 0),
    of(1, 46, 0),
    of(1, 46, 2),
    of(1, 47, 0),
    of(1, 47, 2),
    of(1, 48, 0),
    of(1, 48, 2),
    of(1, 49, 0),
    of(1, 49, 2),
    of(1, 50, 0),
    of(1, 50, 2),
    of(1, 51, 0),
    of(1, 51, 2),
    of(1, 52, 0),
    of(2, 45, 0),
    of(2, 46, 0),
    of(2, 46, 2),
    of(2, 47, 0),
    of(2, 48, 0),
    of(2, 49, 0),
    of(2, 49, 2),
    of(2, 50, 0),
    of(2, 50, 2),
    of(2, 51, 0),
    of(2, 51, 2),
    of(2, 52, 0),
    of(2, 53, 0),
    of(2, 54, 0),
    of(2, 55, 0),
    of(2, 56, 0),
];

/// The vector I(k, b) or II(k, b).
const fn of(class: u32, k: usize, b: u32) -> Vector {
    // word t of the vector is at t + BEFORE: a local collision reaches five steps back
    const BEFORE: usize = 5;
    let mut vector = [0_u32; 80 + BEFORE];
    vector[BEFORE + k + 15] = 1 << b;
    if class == 2 {
        vector[BEFORE + k + 1] = 1_u32.rotate_left(31 + b);
        vector[BEFORE + k + 3] = 1_u32.rotate_left(31 + b);
    }
    let mut at = BEFORE + k + 16;
    while at < vector.len() {
        let word = vector[at - 3] ^ vector[at - 8] ^ vector[at - 14] ^ vector[at - 16];
        vector[at] = word.rotate_left(1);
        at += 1;
    }
    let mut at = BEFORE + k;
    while at > 0 {
        at -= 1;
        let word = vector[at + 16].rotate_right(1);
        vector[at] = word ^ vector[at + 13] ^ vector[at + 8] ^ vector[at + 2];
    }
    let mut difference = [0; 80];
    let mut step = 0;
    while step < 80 {
        let at = step + BEFORE;
        difference[step] = vector[at]
            ^ vector[at - 1].rotate_left(5)
            ^ vector[at - 2]
            ^ (vector[at - 3] ^ vector[at - 4] ^ vector[at - 5]).rotate_left(30);
        step += 1;
    }
    // a local collision begun at a step is over six steps later
    let mut equal_at = BEFORE + EQUAL_AT[(k >= 50) as usize];
    let end = equal_at;
    while equal_at > end - BEFORE {
        equal_at -= 1;
        assert!(vector[equal_at] == 0, "some local collision is under way");
    }
    Vector { difference, begins: k }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_those_of_the_papers() {
        // I(43,0), which the paper's own code lists as its first
        let first = &VECTOR[0].difference;
        assert_eq!(first[..4], [0x0800_0000, 0x9800_000c, 0xd800_0010, 0x0800_0010]);
        assert_eq!(first[76..], [0x8000_004c, 0x0000_0803, 0x8000_0161, 0x8000_0599]);
        // whatever the class, the differences are a solution of the expansion themselves
        for vector in &VECTOR {
            let words = &vector.difference;
            for t in 16..80 {
                let expanded = words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16];
                assert_eq!(words[t], expanded.rotate_left(1));
            }
        }
    }
}
