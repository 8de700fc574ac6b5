//! Applying deltas: copy and insert instructions against a base.

/// What can be wrong with a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// It ends in the middle of an instruction or a size.
    #[error("delta is cut off")]
    Truncated,
    /// It was made against a base of another size.
    #[error("delta does not fit its base")]
    WrongBase,
    /// It copies from beyond the end of its base.
    #[error("delta copies from beyond its base")]
    CopyBeyondBase,
    /// It makes more or fewer bytes than it says.
    #[error("delta makes a result of the wrong size")]
    WrongResult,
    /// Instruction 0, reserved.
    #[error("delta has an instruction of the reserved kind")]
    Reserved,
    /// A size beyond 64 bits.
    #[error("delta size out of range")]
    OutOfRange,
}

/// The sizes at the front of a delta, and how many bytes they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaSizes {
    /// Size of the base it was made against.
    pub base: u64,
    /// Size of what it makes.
    pub result: u64,
    /// Where the instructions begin.
    pub len: usize,
}

/// Reads the two sizes at the front of a delta.
pub fn sizes(delta: &[u8]) -> Result<DeltaSizes, DeltaError> {
    let (base, a) = size(delta)?;
    let (result, b) = size(&delta[a..])?;
    Ok(DeltaSizes { base, result, len: a + b })
}

fn size(data: &[u8]) -> Result<(u64, usize), DeltaError> {
    let (mut value, mut shift) = (0u64, 0);
    for (at, &byte) in data.iter().enumerate() {
        let bits = u64::from(byte & 0x7f);
        if shift > 63 || bits << shift >> shift != bits {
            return Err(DeltaError::OutOfRange);
        }
        value |= bits << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok((value, at + 1));
        }
    }
    Err(DeltaError::Truncated)
}

/// One instruction of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction<'a> {
    /// Copy `len` bytes from `offset` of the base.
    Copy {
        /// Where in the base.
        offset: usize,
        /// How many bytes, never 0.
        len: usize,
    },
    /// Insert these bytes.
    Insert(&'a [u8]),
}

/// Takes the next instruction off `rest`; `None` at the end.
#[inline]
pub fn next_instruction<'a>(rest: &mut &'a [u8]) -> Result<Option<Instruction<'a>>, DeltaError> {
    let Some((&op, mut data)) = rest.split_first() else { return Ok(None) };
    if op & 0x80 == 0 {
        if op == 0 {
            return Err(DeltaError::Reserved);
        }
        let (literal, after) = data.split_at_checked(op as usize).ok_or(DeltaError::Truncated)?;
        *rest = after;
        return Ok(Some(Instruction::Insert(literal)));
    }
    let (mut offset, mut len) = (0usize, 0usize);
    for bit in 0..7 {
        if op >> bit & 1 == 0 {
            continue;
        }
        let (&byte, after) = data.split_first().ok_or(DeltaError::Truncated)?;
        data = after;
        match bit {
            0..=3 => offset |= (byte as usize) << (8 * bit),
            _ => len |= (byte as usize) << (8 * (bit - 4)),
        }
    }
    *rest = data;
    Ok(Some(Instruction::Copy { offset, len: if len == 0 { 0x10000 } else { len } }))
}

/// Applies `delta` to `base`, replacing the content of `out`.
///
/// `out` never grows beyond the size the delta admits to, which the caller has checked against
/// its limit with [`sizes`].
pub fn apply(base: &[u8], delta: &[u8], out: &mut Vec<u8>) -> Result<(), DeltaError> {
    let sizes = sizes(delta)?;
    if sizes.base != base.len() as u64 {
        return Err(DeltaError::WrongBase);
    }
    let result = usize::try_from(sizes.result).map_err(|_| DeltaError::OutOfRange)?;
    out.clear();
    out.reserve_exact(result);
    let mut rest = &delta[sizes.len..];
    while let Some(instruction) = next_instruction(&mut rest)? {
        let piece = match instruction {
            Instruction::Insert(literal) => literal,
            Instruction::Copy { offset, len } => offset
                .checked_add(len)
                .and_then(|end| base.get(offset..end))
                .ok_or(DeltaError::CopyBeyondBase)?,
        };
        if piece.len() > result - out.len() {
            return Err(DeltaError::WrongResult);
        }
        out.extend_from_slice(piece);
    }
    if out.len() == result { Ok(()) } else { Err(DeltaError::WrongResult) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn copies_and_inserts() {
        // base 10 bytes, result 9: copy 3 from 2, insert "xyz", copy 3 from 7
        let delta = [10, 9, 0x91, 2, 3, 3, b'x', b'y', b'z', 0x91, 7, 3];
        let mut out = b"old".to_vec();
        apply(b"0123456789", &delta, &mut out).unwrap();
        assert_eq!(out, b"234xyz789");
        for cut in 0..delta.len() {
            assert!(apply(b"0123456789", &delta[..cut], &mut out).is_err());
        }
        assert_eq!(apply(b"012345678", &delta, &mut out), Err(DeltaError::WrongBase));
    }

    #[test]
    fn bad_deltas_are_named() {
        let mut out = Vec::new();
        assert_eq!(apply(b"ab", &[2, 3, 0x91, 0, 3], &mut out), Err(DeltaError::CopyBeyondBase));
        assert_eq!(apply(b"ab", &[2, 1, 0x91, 0, 2], &mut out), Err(DeltaError::WrongResult));
        assert_eq!(apply(b"ab", &[2, 1, 0], &mut out), Err(DeltaError::Reserved));
        assert_eq!(sizes(&[0xff; 12]), Err(DeltaError::OutOfRange));
    }

    proptest! {
        #[test]
        fn any_delta_is_survived(
            base in proptest::collection::vec(any::<u8>(), 0..50),
            mut delta in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            delta.insert(0, base.len() as u8);
            // a size byte that cannot make the reservation large
            delta.insert(1, 100);
            let _ = apply(&base, &delta, &mut Vec::new());
        }
    }
}
