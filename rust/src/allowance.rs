//! Memory that one piece of work may hold for a stranger, over all its threads.
//!
//! In: a limit, and what each holder says it holds, before it grows or soon after. Out: a refusal
//! where all together would hold more. What is counted grows with what was sent; rooms of a fixed
//! size, and the one object that is being read, are not.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::source::SourceError;

/// See the module.
#[derive(Debug)]
pub struct Allowance {
    limit: u64,
    left: AtomicU64,
}

impl Allowance {
    /// For so many bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, left: AtomicU64::new(limit) }
    }

    /// Takes some for as long as the work lasts.
    pub fn take(&self, bytes: usize) -> Result<(), SourceError> {
        let bytes = bytes as u64;
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .map(|_| ())
            .map_err(|_| SourceError::TooMuch { limit: self.limit })
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// What one holder has of an allowance, until it goes. Without an allowance: anything.
#[derive(Debug)]
pub struct Held<'a> {
    of: Option<&'a Allowance>,
    bytes: usize,
}

/// Holders say what they hold in steps of so many bytes, and so seldom touch what all share.
const STEP: usize = 64 << 10;

impl<'a> Held<'a> {
    /// Nothing yet.
    pub fn new(of: Option<&'a Allowance>) -> Self {
        Self { of, bytes: 0 }
    }

    /// It is so much now, where anybody wants to know.
    #[inline]
    pub fn set(&mut self, bytes: impl FnOnce() -> usize) -> Result<(), SourceError> {
        let Some(of) = self.of else { return Ok(()) };
        let bytes = bytes() / STEP * STEP;
        if bytes > self.bytes {
            of.take(bytes - self.bytes)?;
        } else if bytes < self.bytes {
            of.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(of) = self.of {
            of.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let allowance = Allowance::new(10 * STEP as u64);
        allowance.take(STEP).unwrap();
        let mut one = Held::new(Some(&allowance));
        let mut other = Held::new(Some(&allowance));
        one.set(|| 6 * STEP).unwrap();
        other.set(|| 3 * STEP + 1).unwrap();
        let told = other.set(|| 4 * STEP).unwrap_err().to_string();
        assert_eq!(told, format!("took more than {} bytes of memory", 10 * STEP));
        one.set(|| 2 * STEP).unwrap();
        other.set(|| 4 * STEP).unwrap();
        drop(one);
        other.set(|| 9 * STEP).unwrap();
        assert!(allowance.take(1).is_err());
        drop(other);
        assert!(allowance.take(9 * STEP).is_ok(), "what is taken for good is not given back");
    }

    #[test]
    fn without_a_limit_nobody_counts() {
        Held::new(None).set(|| panic!("asked for nothing")).unwrap();
    }
}
