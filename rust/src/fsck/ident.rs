//! Who made something, and when: `name <email> seconds zone`.

use super::message::{Fault, Message};

/// Checks what follows `author `, `committer ` or `tagger `, up to the end of the line.
pub(super) fn check(ident: &[u8]) -> Result<(), Fault> {
    use Message::{
        BadDate, BadDateOverflow, BadEmail, BadName, BadTimezone, MissingEmail,
        MissingNameBeforeEmail, MissingSpaceBeforeDate, MissingSpaceBeforeEmail, ZeroPaddedDate,
    };
    let fault = |message, text| Err(Fault::new(message, text));
    if ident.first() == Some(&b'<') {
        return fault(MissingNameBeforeEmail, "invalid ident - missing name before email");
    }
    let (name, rest) = up_to_bracket(ident);
    match rest.first() {
        Some(b'>') => return fault(BadName, "invalid ident - bad name"),
        Some(b'<') => {}
        _ => return fault(MissingEmail, "invalid ident - missing email"),
    }
    if !name.ends_with(b" ") {
        return fault(MissingSpaceBeforeEmail, "invalid ident - missing space before email");
    }
    let (_, rest) = up_to_bracket(&rest[1..]);
    if rest.first() != Some(&b'>') {
        return fault(BadEmail, "invalid ident - bad email");
    }
    let Some(rest) = rest[1..].strip_prefix(b" ") else {
        return fault(MissingSpaceBeforeDate, "invalid ident - missing space before date");
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (date, zone) = rest.split_at(digits);
    if date.len() > 1 && date[0] == b'0' {
        return fault(ZeroPaddedDate, "invalid ident - zero-padded date");
    }
    let Some(zone) = zone.strip_prefix(b" ").filter(|_| !date.is_empty()) else {
        return fault(BadDate, "invalid ident - bad date");
    };
    // a time that programs of 64 bits can hold
    let seconds = std::str::from_utf8(date).ok().and_then(|digits| digits.parse::<i64>().ok());
    if seconds.is_none() {
        return fault(BadDateOverflow, "invalid ident - date causes integer overflow");
    }
    match zone {
        [b'+' | b'-', digits @ ..]
            if digits.len() == 4 && digits.iter().all(u8::is_ascii_digit) =>
        {
            Ok(())
        }
        _ => fault(BadTimezone, "invalid ident - bad time zone"),
    }
}

fn up_to_bracket(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| matches!(byte, b'<' | b'>')).unwrap_or(text.len());
    text.split_at(end)
}
