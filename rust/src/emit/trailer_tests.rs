//! Checksums made in company are what each pack's bytes have alone.

use std::sync::Arc;
use std::thread;

use sha1::Digest as _;

use super::trailer::{Company, Member, STRETCH, WAITING};
use crate::hash::HashKind;
use crate::store::Pack;
use crate::store::testing::TestRepo;

fn company() -> &'static Company {
    Box::leak(Box::new(Company::new()))
}

/// A pack of many stretches.
fn pack() -> Arc<Pack> {
    let repo = TestRepo::with_history(HashKind::Sha1, 60);
    repo.git(&["repack", "-adq", "--depth=0", "--window=0"]);
    let pack = Arc::clone(&repo.snapshot().packs()[0]);
    assert!(pack.data().len() > (WAITING + 3) * STRETCH, "{}", pack.data().len());
    pack
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    sha1::Sha1::digest(bytes).into()
}

#[test]
fn what_one_cannot_keep_waiting_all_have_hashed() {
    let (company, pack) = (company(), pack());
    let mut members: Vec<_> = (0..6).map(|_| Member::new(company)).collect();
    for member in &mut members {
        member.copied(&pack, 0, STRETCH);
    }
    assert_eq!(company.waiting(), [1; 6]);
    members[1].copied(&pack, STRETCH, WAITING * STRETCH);
    assert_eq!(company.waiting(), [1, WAITING, 1, 1, 1, 1]);
    members[1].copied(&pack, WAITING * STRETCH, (WAITING + 1) * STRETCH);
    assert_eq!(company.waiting(), [0, WAITING, 0, 0, 1, 1]);
    // one gives up
    drop(members.remove(2));
    let first = members.remove(1).finish();
    assert_eq!(first, sha1(&pack.data()[..(WAITING + 1) * STRETCH]));
    assert_eq!(company.waiting(), [0; 4]);
    for member in members {
        assert_eq!(member.finish(), sha1(&pack.data()[..STRETCH]));
    }
    assert!(company.waiting().is_empty());
}

#[test]
fn who_is_alone_does_not_wait() {
    let (company, pack) = (company(), pack());
    let (mut one, mut other) = (Member::new(company), Member::new(company));
    one.copied(&pack, 0, 2 * STRETCH + 9);
    other.copied(&pack, 0, STRETCH);
    assert_eq!(company.waiting(), [2, 1]);
    drop(other);
    one.copied(&pack, 2 * STRETCH + 9, 5 * STRETCH);
    assert!(company.waiting().is_empty());
    assert_eq!(one.finish(), sha1(&pack.data()[..5 * STRETCH]));
}

#[test]
fn many_at_once_come_to_the_checksums_of_their_bytes() {
    let (company, pack) = (company(), pack());
    thread::scope(|scope| {
        for seed in 1..=7usize {
            let pack = &pack;
            scope.spawn(move || {
                let (mut member, mut bytes, mut dice) = (Member::new(company), Vec::new(), seed);
                for _ in 0..60 {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                    let start = (dice >> 33) % pack.data().len();
                    let end = pack.data().len().min(start + (dice >> 20) % (9 * STRETCH));
                    if dice >> 61 == 0 {
                        let own = &pack.data()[start..end.min(start + 90)];
                        member.update(own);
                        bytes.extend_from_slice(own);
                        continue;
                    }
                    // as it is copied, piece by piece
                    let piece = if dice >> 63 == 0 { 700 } else { 50 };
                    for at in (start..end).step_by(piece) {
                        member.copied(pack, at, end.min(at + piece));
                    }
                    bytes.extend_from_slice(&pack.data()[start..end]);
                }
                match seed {
                    7 => drop(member),
                    _ => assert_eq!(member.finish(), sha1(&bytes), "{seed}"),
                }
            });
        }
    });
    assert!(company.waiting().is_empty());
}
