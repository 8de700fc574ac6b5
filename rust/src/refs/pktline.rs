//! Framing of single lines (`gitprotocol-common`, "pkt-line Format").

use super::RefError;

/// Longest pkt-line, its four digits included.
const MAX_PACKET: usize = 65520;

/// Begins a packet: reserves its length.
#[inline]
pub(super) fn begin(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(b"0000");
    at
}

/// Ends the packet that began at `at`: writes its length.
///
/// Lines of refs always fit, because names are bounded ([`super::name::MAX_NAME`]); capabilities
/// are the caller's.
#[inline]
pub(super) fn end(out: &mut [u8], at: usize) -> Result<(), RefError> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let len = out.len() - at;
    if len > MAX_PACKET {
        return Err(RefError::CapabilitiesTooLong(len));
    }
    for (place, digit) in out[at..at + 4].iter_mut().enumerate() {
        *digit = DIGITS[len >> (12 - 4 * place) & 15];
    }
    Ok(())
}

/// The end of a list.
pub(super) const FLUSH: &[u8] = b"0000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_four_digits() {
        for len in [0, 1, 11, 4091, 65516] {
            let mut out = b"before".to_vec();
            let at = begin(&mut out);
            out.extend(vec![b'x'; len]);
            end(&mut out, at).unwrap();
            assert_eq!(&out[at..at + 4], format!("{:04x}", len + 4).as_bytes());
        }
        let mut out = vec![b'x'; 65521];
        assert!(end(&mut out, 0).is_err());
    }
}
