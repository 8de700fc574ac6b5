//! The header of an annotated tag.

use super::message::{Fault, Message};
use super::{header, ident, is_id, line};
use crate::object::ObjectKind;

/// All that is wrong with a tag; after the first fault of some kinds nobody can read on.
pub(super) fn check(data: &[u8], digits: usize, faults: &mut Vec<Fault>) {
    if let Err(fault) = read(data, digits, faults) {
        faults.push(fault);
    }
}

fn read(data: &[u8], digits: usize, faults: &mut Vec<Fault>) -> Result<(), Fault> {
    header(data)?;
    let fault = |message, text| Err(Fault::new(message, text));
    let (found, rest) = line(data);
    let Some(target) = found.strip_prefix(b"object ") else {
        return fault(Message::MissingObject, "invalid format - expected 'object' line");
    };
    if !is_id(target, digits) {
        faults.push(Fault::new(Message::BadObjectSha1, "invalid 'object' line format - bad id"));
    }
    let (found, rest) = line(rest);
    let Some(kind) = found.strip_prefix(b"type ") else {
        return fault(Message::MissingTypeEntry, "invalid format - expected 'type' line");
    };
    if ObjectKind::from_name(kind).is_none() {
        faults.push(Fault::new(Message::BadType, "invalid 'type' value"));
    }
    let (found, rest) = line(rest);
    let Some(name) = found.strip_prefix(b"tag ") else {
        return fault(Message::MissingTagEntry, "invalid format - expected 'tag' line");
    };
    if !is_ref_name(name) {
        faults.push(Fault::new(Message::BadTagName, "invalid 'tag' name"));
    }
    let (found, rest) = line(rest);
    let Some(tagger) = found.strip_prefix(b"tagger ") else {
        return fault(Message::MissingTaggerEntry, "invalid format - expected 'tagger' line");
    };
    if let Err(fault) = ident::check(tagger) {
        faults.push(fault);
    }
    if !rest.is_empty() && !rest.starts_with(b"\n") && !rest.starts_with(b"gpgsig") {
        return fault(Message::ExtraHeaderEntry, "invalid format - extra header(s) after 'tagger'");
    }
    Ok(())
}

/// May `refs/tags/<name>` be a ref (git-check-ref-format(1))?
fn is_ref_name(name: &[u8]) -> bool {
    let good =
        |part: &[u8]| !part.is_empty() && !part.starts_with(b".") && !part.ends_with(b".lock");
    let bad = |byte: &u8| *byte <= b' ' || *byte == 0x7f || b"~^:?*[\\".contains(byte);
    !name.iter().any(bad)
        && !name.ends_with(b".")
        && !name.windows(2).any(|two| two == b".." || two == b"@{")
        && name.split(|&byte| byte == b'/').all(good)
}
