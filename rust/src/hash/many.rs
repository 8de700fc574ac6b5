//! SHA-1 of many messages at once, with the search for collision attacks.
//!
//! In flow messages, out flow their digests and whether any of them is part of an attack: the same as
//! [`DetectingSha1`] says of one after the other. Each lane of the CPU's vector registers hashes a
//! message of its own. The expanded words of a block serve both hashing and judging
//! ([`super::conditions`]), and suspects are gathered and looked at together ([`super::halves`]).
//!
//! One message alone is hashed faster by the CPU's SHA instructions; sixteen are not.

use super::conditions::{JUDGED_WORDS, judge};
use super::detecting::{BLOCK_LEN, Block, DetectingSha1, INITIAL, State};
use super::halves::{CONSTANTS, Suspects};
use super::registers::{Register, Words};
#[cfg(target_arch = "x86_64")]
use super::registers::{Sixteen, has_sixteen};

/// A message in two parts, the first no longer than [`MAX_HEADER`]: an object's header and its content.
pub type Message<'a> = (&'a [u8], &'a [u8]);

/// Of a message's first part.
pub const MAX_HEADER: usize = BLOCK_LEN;

/// Fewer lanes than this at work are slower than one message after the other: a step of all lanes takes
/// about as long as five blocks on the SHA instructions.
const WORTH_LANES: usize = 5;

/// The digests of the messages, in their order, and whether any of them is part of a collision attack.
pub fn hash_many(messages: &[Message<'_>]) -> (Vec<[u8; 20]>, bool) {
    let mut digests = vec![[0; 20]; messages.len()];
    #[cfg(target_arch = "x86_64")]
    if messages.len() >= WORTH_LANES && has_sixteen() {
        // SAFETY: the CPU has what the function is compiled for.
        let is_attack = unsafe { hash_on_avx512(messages, &mut digests) };
        return (digests, is_attack);
    }
    let mut is_attack = false;
    for ((header, content), digest) in messages.iter().zip(&mut digests) {
        let mut hash = DetectingSha1::default();
        hash.update(header);
        hash.update(content);
        let (made, noticed) = hash.finish();
        *digest = made;
        is_attack |= noticed;
    }
    (digests, is_attack)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn hash_on_avx512(messages: &[Message<'_>], digests: &mut [[u8; 20]]) -> bool {
    hash_in_lanes::<Sixteen, { Sixteen::LANES }>(messages, digests)
}

/// A message on its way through a lane.
struct Lane<'a> {
    number: usize,
    /// The header, and the content that fills its block.
    head: Block,
    middle: &'a [Block],
    /// The rest with the padding: one block or two.
    tail: [Block; 2],
    /// Blocks in head and middle, which short messages have not.
    before_tail: usize,
    count: usize,
    /// The next block.
    at: usize,
}

impl<'a> Lane<'a> {
    fn new(number: usize, (header, content): Message<'a>) -> Self {
        let len = header.len() + content.len();
        let (mut head, mut end) = ([0; BLOCK_LEN], [0; 2 * BLOCK_LEN]);
        let (mut middle, mut before_tail): (&[Block], _) = (&[], 0);
        let filled = if len < BLOCK_LEN {
            end[..header.len()].copy_from_slice(header);
            end[header.len()..len].copy_from_slice(content);
            len
        } else {
            let (first, after) = content.split_at(BLOCK_LEN - header.len());
            head[..header.len()].copy_from_slice(header);
            head[header.len()..].copy_from_slice(first);
            let (blocks, rest) = after.as_chunks();
            end[..rest.len()].copy_from_slice(rest);
            (middle, before_tail) = (blocks, blocks.len() + 1);
            rest.len()
        };
        // a one bit, zeros, and the length in bits fill the last block
        end[filled] = 0x80;
        let padded = (filled + 1 + 8).next_multiple_of(BLOCK_LEN);
        end[padded - 8..padded].copy_from_slice(&(len as u64).wrapping_mul(8).to_be_bytes());
        let mut tail = [[0; BLOCK_LEN]; 2];
        tail.as_flattened_mut().copy_from_slice(&end);
        let count = before_tail + padded / BLOCK_LEN;
        Self { number, head, middle, tail, before_tail, count, at: 0 }
    }

    /// What is left, in order.
    fn rest(&self) -> impl Iterator<Item = &[Block]> {
        let at = self.at;
        let head = std::slice::from_ref(&self.head);
        let in_head = usize::from(self.before_tail > 0);
        let in_tail = self.count - self.before_tail;
        [
            &head[at.min(in_head)..in_head],
            &self.middle[at.saturating_sub(in_head).min(self.middle.len())..],
            &self.tail[at.saturating_sub(self.before_tail)..in_tail],
        ]
        .into_iter()
    }

    #[inline(always)]
    fn block(&self, at: usize) -> &Block {
        match at.checked_sub(self.before_tail) {
            Some(at) => &self.tail[at],
            None if at == 0 => &self.head,
            None => &self.middle[at - 1],
        }
    }
}

const NOTHING: Block = [0; BLOCK_LEN];

/// `N` is the number of lanes.
#[inline(always)]
fn hash_in_lanes<R: Register, const N: usize>(
    messages: &[Message<'_>],
    digests: &mut [[u8; 20]],
) -> bool {
    // the longest first: no lane is left behind with one of these at the end
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_unstable_by_key(|&number| std::cmp::Reverse(messages[number].1.len()));
    let mut waiting = order.into_iter();
    let mut states = [R::splat(0); 5];
    let mut words: Words<R> = [R::splat(0); 80];
    let mut lanes: [Option<Lane<'_>>; N] = std::array::from_fn(|_| None);
    let mut suspects = Suspects::new();
    let mut is_attack = false;
    loop {
        let (mut steps, mut at_work) = (usize::MAX, 0);
        for (at, lane) in lanes.iter_mut().enumerate() {
            if lane.is_none()
                && let Some(number) = waiting.next()
            {
                *lane = Some(Lane::new(number, messages[number]));
                for (state, word) in states.iter_mut().zip(INITIAL) {
                    state.set(at, word);
                }
            }
            if let Some(lane) = lane {
                steps = steps.min(lane.count - lane.at);
                at_work += 1;
            }
        }
        if at_work < WORTH_LANES {
            for (at, lane) in lanes.iter().enumerate() {
                let Some(lane) = lane else { continue };
                let hash = DetectingSha1::resume(state_in(&states, at));
                let (state, noticed) = hash.finish_padded(lane.rest());
                is_attack |= noticed;
                write_digest(state, &mut digests[lane.number]);
            }
            return is_attack | suspects.finish::<R>();
        }
        for step in 0..steps {
            let blocks: [&Block; N] = std::array::from_fn(|at| match &lanes[at] {
                Some(lane) => lane.block(lane.at + step),
                None => &NOTHING,
            });
            R::lay_across(&blocks, &mut words);
            let before = states;
            compress(&mut states, &mut words);
            let refuted = judge(&words);
            if refuted.is_all_ones() {
                continue;
            }
            for at in 0..N {
                let vectors = !refuted.get(at);
                if vectors != 0 && lanes[at].is_some() {
                    let before = state_in(&before, at);
                    let after = state_in(&states, at);
                    suspects.add::<R>((&before, &after), blocks[at], vectors);
                }
            }
        }
        for (at, place) in lanes.iter_mut().enumerate() {
            let Some(lane) = place else { continue };
            lane.at += steps;
            if lane.at == lane.count {
                write_digest(state_in(&states, at), &mut digests[lane.number]);
                *place = None;
            }
        }
    }
}

fn write_digest(state: State, digest: &mut [u8; 20]) {
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}

#[inline(always)]
fn state_in<R: Register>(states: &[R; 5], lane: usize) -> State {
    std::array::from_fn(|word| states[word].get(lane))
}

/// SHA-1's compression of a block in each lane. The words come in with the blocks' own sixteen, and
/// go out with those that are judged.
#[inline(always)]
fn compress<R: Register>(states: &mut [R; 5], words: &mut Words<R>) {
    let mut recent: [R; 16] = std::array::from_fn(|at| words[at]);
    let [mut a, mut b, mut c, mut d, mut e] = *states;
    let constants = CONSTANTS.map(R::splat);
    // unrolled by hand, so that the last sixteen words and the state stay in registers
    macro_rules! steps {
        ($($t:literal)*) => {$(
            if $t >= 16 {
                let word = recent[($t + 13) % 16].xor3(recent[($t + 8) % 16], recent[($t + 2) % 16]);
                recent[$t % 16] = word.xor(recent[$t % 16]).rotate::<1>();
                if $t < JUDGED_WORDS {
                    words[$t] = recent[$t % 16];
                }
            }
            let mixed = match $t / 20 {
                0 => b.choose(c, d),
                2 => b.majority(c, d),
                _ => b.xor3(c, d),
            };
            let sum = e.add(recent[$t % 16].add(constants[$t / 20])).add(mixed);
            (a, b, c, d, e) = (sum.add(a.rotate::<5>()), a, b.rotate::<30>(), c, d);
        )*};
    }
    steps!(
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62
        63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79
    );
    for (state, word) in states.iter_mut().zip([a, b, c, d, e]) {
        *state = state.add(word);
    }
}

#[cfg(test)]
mod tests {
    use super::super::registers::Portable;
    use super::*;

    fn one_by_one(messages: &[Message<'_>]) -> (Vec<[u8; 20]>, bool) {
        let hashed: Vec<_> = messages
            .iter()
            .map(|(header, content)| {
                let mut hash = sha1_checked::Builder::default().safe_hash(false).build();
                sha1_checked::Digest::update(&mut hash, header);
                sha1_checked::Digest::update(&mut hash, content);
                let result = hash.try_finalize();
                ((*result.hash()).into(), result.has_collision())
            })
            .collect();
        (hashed.iter().map(|hashed| hashed.0).collect(), hashed.iter().any(|hashed| hashed.1))
    }

    fn in_portable_lanes(messages: &[Message<'_>]) -> (Vec<[u8; 20]>, bool) {
        let mut digests = vec![[0; 20]; messages.len()];
        let is_attack = hash_in_lanes::<Portable<8>, 8>(messages, &mut digests);
        (digests, is_attack)
    }

    /// Padding makes these pass every border, beside messages of other lengths.
    #[test]
    fn every_length_gives_the_digest_of_another_implementation() {
        let bytes: Vec<u8> = (0..6000_u32).map(|at| ((at * at) >> 3) as u8).collect();
        for header in [0, 28, MAX_HEADER] {
            let messages: Vec<Message<'_>> =
                (0..300).map(|len| (&bytes[..header], &bytes[len..len * 2])).collect();
            let wanted = one_by_one(&messages);
            assert!(!wanted.1);
            assert_eq!(hash_many(&messages), wanted);
            assert_eq!(in_portable_lanes(&messages[..150]), (wanted.0[..150].to_vec(), false));
        }
        for count in 0..40 {
            let messages: Vec<Message<'_>> =
                (0..count).map(|n| (&bytes[..9], &bytes[..n * 37])).collect();
            assert_eq!(hash_many(&messages), one_by_one(&messages));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_messages(
            contents in proptest::collection::vec(
                (proptest::collection::vec(proptest::num::u8::ANY, 0..40), 0_usize..40),
                0..40,
            ),
        ) {
            let contents: Vec<Vec<u8>> =
                contents.iter().map(|(bytes, repeat)| bytes.repeat(*repeat)).collect();
            let messages: Vec<Message<'_>> =
                contents.iter().map(|content| (&b"blob 77\0"[..], &content[..])).collect();
            let wanted = one_by_one(&messages);
            proptest::prop_assert_eq!(hash_many(&messages), wanted.clone());
            proptest::prop_assert_eq!(in_portable_lanes(&messages), wanted);
        }
    }

    /// Both published collisions, in any lane and any company.
    #[test]
    fn an_attack_is_noticed_wherever_it_is() {
        let shambles: [&[u8]; 2] = [
            include_bytes!("testdata/sha-mbles-1.bin"),
            include_bytes!("testdata/sha-mbles-2.bin"),
        ];
        let shattered = super::super::tests::shattered();
        let harmless: Vec<u8> = (0..3000_u32).map(|at| ((at * at) >> 5) as u8).collect();
        for half in shambles.iter().copied().chain(shattered.iter().map(Vec::as_slice)) {
            for count in [4_usize, 16, 40] {
                for place in [0, count / 3, count - 1] {
                    let content = |at| if at == place { half } else { &harmless[at * 50..] };
                    let messages: Vec<Message<'_>> =
                        (0..count).map(|at| (&[][..], content(at))).collect();
                    let (digests, is_attack) = hash_many(&messages);
                    assert!(is_attack);
                    assert_eq!(digests, one_by_one(&messages).0);
                    assert!(in_portable_lanes(&messages).1);
                }
            }
            // behind a header the attack fails, and only the digest counts
            let messages = vec![(&b"blob 640\0"[..], half); 16];
            assert_eq!(hash_many(&messages), one_by_one(&messages));
        }
    }
}
