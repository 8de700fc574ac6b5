//! A recorded conversation: what the client said, turn by turn.
//!
//! The file is a count of conversations; each is a count of turns, the turns, and a farewell; each
//! of these a length and bytes. All numbers are 32 bits, little-endian.

/// What one client says.
pub struct Conversation {
    /// After each of these the client reads up to a flush packet.
    pub turns: Vec<Vec<u8>>,
    /// Said before hanging up; nothing is read for it.
    pub farewell: Vec<u8>,
}

impl Conversation {
    /// Bytes of the longest of all that it says.
    pub fn longest(&self) -> usize {
        self.turns.iter().chain([&self.farewell]).map(Vec::len).max().unwrap_or_default()
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<usize> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*head) as usize)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.number()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head.to_vec())
    }
}

/// The conversations of a file; `None` when it is cut off.
pub fn parse(file: &[u8]) -> Option<Vec<Conversation>> {
    let mut reader = Reader(file);
    let count = reader.number()?;
    (0..count)
        .map(|_| {
            let turns = reader.number()?;
            let turns = (0..turns).map(|_| reader.bytes()).collect::<Option<Vec<_>>>()?;
            Some(Conversation { turns, farewell: reader.bytes()? })
        })
        .collect()
}
