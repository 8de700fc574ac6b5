//! Encoded answers, kept with the view of the snapshot that they are of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::hash::ObjectId;

/// So many different questions are remembered; clients of one kind ask the same.
const MAX_ANSWERS: usize = 16;
/// Answers of one view take no more than this together: one of a million refs has a place.
const MAX_BYTES: usize = 96 << 20;
/// Prefixes of a question that are longer together are a client's own, not worth a place.
const MAX_QUESTION: usize = 4096;

/// A question that has been answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// The refs of a v0/v1 advertisement, for receive-pack or for upload-pack.
    Advertised { receive: bool },
    /// All of it, with what it says beside the refs.
    Advertisement { receive: bool, capabilities: Vec<u8>, shallow: Vec<ObjectId> },
    /// `ls-refs` with these prefixes (sorted, none within another).
    LsRefs { prefixes: Vec<Vec<u8>>, peel: bool, symrefs: bool, unborn: bool },
}

impl Question {
    fn is_worth_a_place(&self) -> bool {
        match self {
            Question::Advertised { .. } => true,
            Question::Advertisement { capabilities, shallow, .. } => {
                capabilities.len() + size_of_val(&shallow[..]) <= MAX_QUESTION
            }
            Question::LsRefs { prefixes, .. } => {
                prefixes.iter().map(|prefix| prefix.len() + 1).sum::<usize>() <= MAX_QUESTION
            }
        }
    }
}

/// The most recent answers, newest last.
#[derive(Debug, Default)]
pub(super) struct Memo {
    answers: Mutex<VecDeque<(Question, Arc<Vec<u8>>)>>,
}

impl Memo {
    /// The answer to `question`, if it is remembered.
    pub(super) fn get(&self, question: &Question) -> Option<Arc<Vec<u8>>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let at = answers.iter().position(|(known, _)| known == question)?;
        let found = answers.remove(at)?;
        let answer = Arc::clone(&found.1);
        answers.push_back(found);
        Some(answer)
    }

    /// Remembers an answer, in the place of those asked for longest ago.
    pub(super) fn put(&self, question: Question, answer: &Arc<Vec<u8>>) {
        if !question.is_worth_a_place() || answer.len() > MAX_BYTES {
            return;
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|(known, _)| *known != question);
        let mut bytes: usize = answers.iter().map(|(_, answer)| answer.len()).sum();
        while answers.len() >= MAX_ANSWERS || bytes + answer.len() > MAX_BYTES {
            let Some((_, oldest)) = answers.pop_front() else { break };
            bytes -= oldest.len();
        }
        answers.push_back((question, Arc::clone(answer)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(prefix: &str) -> Question {
        let prefixes = vec![prefix.as_bytes().to_vec()];
        Question::LsRefs { prefixes, peel: true, symrefs: true, unborn: true }
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let memo = Memo::default();
        let answer = Arc::new(b"x".to_vec());
        for n in 0..MAX_ANSWERS {
            memo.put(question(&n.to_string()), &answer);
        }
        assert!(memo.get(&question("0")).is_some());
        memo.put(question("new"), &answer);
        assert!(memo.get(&question("0")).is_some() && memo.get(&question("1")).is_none());
    }

    #[test]
    fn bytes_are_bounded() {
        let memo = Memo::default();
        let half = Arc::new(vec![0; MAX_BYTES / 2]);
        for name in ["a", "b", "c"] {
            memo.put(question(name), &half);
        }
        assert!(memo.get(&question("a")).is_none() && memo.get(&question("b")).is_some());
        memo.put(question("huge"), &Arc::new(vec![0; MAX_BYTES + 1]));
        assert!(memo.get(&question("huge")).is_none() && memo.get(&question("c")).is_some());
        memo.put(question(&"x".repeat(5000)), &Arc::new(Vec::new()));
        assert!(memo.get(&question(&"x".repeat(5000))).is_none());
    }
}
