//! The v0/v1 advertisement (`gitprotocol-pack`, "Reference Discovery").

use std::sync::Arc;

use super::RefError;
use super::memo::Question;
use super::packed::Peeled;
use super::peel::Peeler;
use super::pktline;
use super::snapshot::{RefSnapshot, Row, RowId};
use crate::client::Client;
use crate::hash::{IdSet, ObjectId};
use crate::source::ObjectSource;

/// What goes into an advertisement beside the refs.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdvertiseOptions<'a> {
    /// Behind the first ref's NUL.
    pub capabilities: &'a [u8],
    /// For receive-pack: without HEAD and peeled values.
    pub receive: bool,
    /// Tips of alternates, told as `.have` unless a ref has the same value.
    pub haves: &'a [ObjectId],
    /// Commits whose parents the repository lacks.
    pub shallow: &'a [ObjectId],
    /// Who waits for it: when it has gone, no more objects are read for what is behind tags.
    pub client: Option<&'a Client>,
}

/// Bytes up to which an advertisement is remembered whole, beside its refs: it leaves in one write
/// then. Of a longer one the pieces leave by themselves, and are few beside the writes that it takes.
const WHOLE: usize = 1 << 20;

/// Of a capability whose value is each request's own.
const OF_ONE_REQUEST: [&[u8]; 2] = [b"session-id=", b"push-cert="];

/// An encoded advertisement in three pieces, the middle one shared by all who get it.
///
/// All of it is in that one where the same has been said before.
#[derive(Debug, Clone)]
pub struct Advertisement {
    /// The first packet, which differs from request to request.
    pub first: Vec<u8>,
    /// What is shared: all packets of the refs.
    pub lines: Arc<Vec<u8>>,
    /// Where the second of these begins.
    pub rest: usize,
    /// What is not about refs, and the flush.
    pub last: Vec<u8>,
}

impl Advertisement {
    fn whole(lines: Arc<Vec<u8>>) -> Self {
        Self { first: Vec::new(), lines, rest: 0, last: Vec::new() }
    }

    /// The bytes, in order.
    pub fn parts(&self) -> [&[u8]; 3] {
        [&self.first, &self.lines[self.rest..], &self.last]
    }

    /// The bytes as one vector.
    pub fn to_vec(&self) -> Vec<u8> {
        self.parts().concat()
    }
}

impl AdvertiseOptions<'_> {
    /// What makes the advertisement, unless that is never the same again.
    fn question(&self) -> Option<Question> {
        let has = |part: &&[u8]| self.capabilities.windows(part.len()).any(|found| found == *part);
        let is_own = OF_ONE_REQUEST.iter().any(has);
        (self.haves.is_empty() && !is_own).then(|| Question::Advertisement {
            receive: self.receive,
            capabilities: self.capabilities.to_vec(),
            shallow: self.shallow.to_vec(),
        })
    }
}

impl RefSnapshot {
    /// The advertisement as pkt-lines, with its closing flush.
    pub fn advertisement(
        &self,
        objects: &dyn ObjectSource,
        options: &AdvertiseOptions<'_>,
    ) -> Result<Advertisement, RefError> {
        let question = options.question();
        if let Some(known) = question.as_ref().and_then(|question| self.view.memo.get(question)) {
            return Ok(Advertisement::whole(known));
        }
        let (lines, complete) = self.advertised_lines(objects, options)?;
        let said = self.around(lines, options)?;
        let length: usize = said.parts().iter().map(|part| part.len()).sum();
        let Some(question) = question.filter(|_| complete && length <= WHOLE) else {
            return Ok(said);
        };
        let whole = Arc::new(said.to_vec());
        self.view.memo.put(question, &whole);
        Ok(Advertisement::whole(whole))
    }

    /// The lines with what is told beside them.
    pub(super) fn around(
        &self,
        lines: Arc<Vec<u8>>,
        options: &AdvertiseOptions<'_>,
    ) -> Result<Advertisement, RefError> {
        let mut last = Vec::new();
        let mut told = IdSet::default();
        for have in options.haves {
            if !self.has_tip_of_ref(have) && told.insert(*have) {
                line(&mut last, RowId::Id(have), b".have", b"")?;
            }
        }
        // the first line is the only one that differs from request to request
        let source = if lines.is_empty() { &last[..] } else { &lines[..] };
        let first_len = first_packet_len(source);
        let mut first = Vec::new();
        let at = pktline::begin(&mut first);
        if first_len == 0 {
            ObjectId::null(self.core.kind).write_hex(&mut first);
            first.extend_from_slice(b" capabilities^{}");
        } else {
            first.extend_from_slice(&source[4..first_len - 1]);
        }
        first.push(0);
        first.extend_from_slice(options.capabilities);
        first.push(b'\n');
        pktline::end(&mut first, at)?;
        let rest = if lines.is_empty() {
            last.drain(..first_len);
            0
        } else {
            first_len
        };
        for commit_id in options.shallow {
            let at = pktline::begin(&mut last);
            last.extend_from_slice(b"shallow ");
            commit_id.write_hex(&mut last);
            last.push(b'\n');
            pktline::end(&mut last, at)?;
        }
        last.extend_from_slice(pktline::FLUSH);
        Ok(Advertisement { first, lines, rest, last })
    }

    /// The packets of the refs; and whether nothing was left out because it could not be read.
    pub(super) fn advertised_lines(
        &self,
        objects: &dyn ObjectSource,
        options: &AdvertiseOptions<'_>,
    ) -> Result<(Arc<Vec<u8>>, bool), RefError> {
        let receive = options.receive;
        let question = Question::Advertised { receive };
        if let Some(known) = self.view.memo.get(&question) {
            return Ok((known, true));
        }
        let mut peeler = Peeler::new(&self.core.peels, objects).of_client(options.client);
        let mut out = Vec::new();
        let head = self.core.head.id();
        if let Some(id) = head.filter(|_| !receive && self.view.shows(b"HEAD")) {
            let id = RowId::Id(&id);
            let row = Row { name: b"HEAD", id, peeled: Peeled::Unknown, symbolic: None };
            self.advertise(&row, receive, &mut peeler, &mut out)?;
        }
        for row in self.rows(b"") {
            self.advertise(&row, receive, &mut peeler, &mut out)?;
        }
        out.shrink_to_fit();
        let lines = Arc::new(out);
        if peeler.complete {
            self.view.memo.put(question, &lines);
        }
        Ok((lines, peeler.complete))
    }

    fn advertise(
        &self,
        row: &Row<'_>,
        receive: bool,
        peeler: &mut Peeler<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RefError> {
        line(out, row.id, row.name, b"")?;
        if receive {
            return Ok(());
        }
        match row.peeled {
            Peeled::NoTag => {}
            Peeled::To(hex) => line(out, RowId::Hex(hex), row.name, b"^{}")?,
            Peeled::Unknown => {
                if let Some(peeled) = peeler.peel(&row.id.id())? {
                    line(out, RowId::Id(&peeled), row.name, b"^{}")?;
                }
            }
        }
        Ok(())
    }
}

fn line(out: &mut Vec<u8>, id: RowId<'_>, name: &[u8], mark: &[u8]) -> Result<(), RefError> {
    let at = pktline::begin(out);
    id.write_hex(out);
    out.push(b' ');
    out.extend_from_slice(name);
    out.extend_from_slice(mark);
    out.push(b'\n');
    pktline::end(out, at)
}

/// The length of the first packet, 0 when there is none.
fn first_packet_len(packets: &[u8]) -> usize {
    let digits = packets.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()).unwrap_or(0)
}
