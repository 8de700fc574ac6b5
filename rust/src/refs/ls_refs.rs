//! The answer to `ls-refs` (`gitprotocol-v2`).

use std::sync::Arc;

use super::RefError;
use super::memo::Question;
use super::packed::Peeled;
use super::peel::Peeler;
use super::pktline;
use super::snapshot::{RefSnapshot, Row, RowId};
use crate::client::Client;
use crate::source::ObjectSource;

/// What the client asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct LsRefsOptions<'a> {
    /// Only refs whose names begin with one of these; all when there is none.
    pub prefixes: &'a [&'a [u8]],
    /// With the ids behind tags.
    pub peel: bool,
    /// With the targets of symbolic refs.
    pub symrefs: bool,
    /// With HEAD where its branch is unborn; told together with its target only.
    pub unborn: bool,
    /// Who waits for it: when it has gone, no more objects are read for what is behind tags.
    pub client: Option<&'a Client>,
}

impl LsRefsOptions<'_> {
    /// What makes the answer.
    fn question(&self) -> Question {
        let Self { peel, symrefs, unborn, .. } = *self;
        Question::LsRefs { prefixes: disjoint(self.prefixes), peel, symrefs, unborn }
    }
}

impl RefSnapshot {
    /// The answer of [`RefSnapshot::ls_refs`] where somebody has asked the same: no object is needed
    /// for it then.
    pub fn remembered_ls_refs(&self, options: &LsRefsOptions<'_>) -> Option<Arc<Vec<u8>>> {
        self.view.memo.get(&options.question())
    }

    /// The lines as pkt-lines, with the closing flush. Shared with whoever asks the same.
    pub fn ls_refs(
        &self,
        objects: &dyn ObjectSource,
        options: &LsRefsOptions<'_>,
    ) -> Result<Arc<Vec<u8>>, RefError> {
        let LsRefsOptions { peel, symrefs, unborn, .. } = *options;
        let question = options.question();
        if let Some(known) = self.view.memo.get(&question) {
            return Ok(known);
        }
        let Question::LsRefs { prefixes, .. } = &question else { return Ok(Arc::default()) };
        let mut answer = Answer {
            peel,
            symrefs,
            peeler: Peeler::new(&self.core.peels, objects).of_client(options.client),
            out: Vec::new(),
        };
        if prefixes.iter().any(|prefix| b"HEAD".starts_with(prefix)) {
            self.answer_head(unborn, &mut answer)?;
        }
        for prefix in prefixes {
            for row in self.rows(prefix) {
                answer.line(&row)?;
            }
        }
        let complete = answer.peeler.complete;
        let mut out = answer.out;
        out.extend_from_slice(pktline::FLUSH);
        out.shrink_to_fit();
        let out = Arc::new(out);
        if complete {
            self.view.memo.put(question, &out);
        }
        Ok(out)
    }

    fn answer_head(&self, unborn: bool, answer: &mut Answer<'_>) -> Result<(), RefError> {
        let head = &self.core.head;
        if !self.view.shows(b"HEAD") {
            return Ok(());
        }
        if let Some(id) = head.id() {
            let id = RowId::Id(&id);
            let symbolic = head.target();
            answer.line(&Row { name: b"HEAD", id, peeled: Peeled::Unknown, symbolic })?;
        } else if let (Some(target), true, true) = (head.target(), unborn, answer.symrefs) {
            let at = pktline::begin(&mut answer.out);
            answer.out.extend_from_slice(b"unborn HEAD symref-target:");
            answer.out.extend_from_slice(target);
            answer.out.push(b'\n');
            pktline::end(&mut answer.out, at)?;
        }
        Ok(())
    }
}

struct Answer<'a> {
    peel: bool,
    symrefs: bool,
    peeler: Peeler<'a>,
    out: Vec<u8>,
}

impl Answer<'_> {
    fn line(&mut self, row: &Row<'_>) -> Result<(), RefError> {
        let out = &mut self.out;
        let at = pktline::begin(out);
        row.id.write_hex(out);
        out.push(b' ');
        out.extend_from_slice(row.name);
        if let Some(target) = row.symbolic.filter(|_| self.symrefs) {
            out.extend_from_slice(b" symref-target:");
            out.extend_from_slice(target);
        }
        if self.peel {
            match row.peeled {
                Peeled::NoTag => {}
                Peeled::To(hex) => {
                    out.extend_from_slice(b" peeled:");
                    out.extend_from_slice(hex);
                }
                Peeled::Unknown => {
                    if let Some(peeled) = self.peeler.peel(&row.id.id())? {
                        out.extend_from_slice(b" peeled:");
                        peeled.write_hex(out);
                    }
                }
            }
        }
        out.push(b'\n');
        pktline::end(out, at)
    }
}

/// The prefixes in order, without those that another one begins: their refs are told once, and
/// in order. The empty prefix alone when there is none.
fn disjoint(prefixes: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut sorted = prefixes.to_vec();
    if sorted.is_empty() {
        sorted.push(b"");
    }
    sorted.sort_unstable();
    sorted.dedup_by(|later, first| later.starts_with(first));
    sorted.into_iter().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_within_prefixes_are_left_out() {
        let given: [&[u8]; 6] =
            [b"refs/tags/", b"refs/heads/", b"refs/heads/main", b"HEAD", b"refs/heads/", b"refs/t"];
        assert_eq!(disjoint(&given), [&b"HEAD"[..], b"refs/heads/", b"refs/t"]);
        assert_eq!(disjoint(&[]), [b""]);
        assert_eq!(disjoint(&[b"a", b""]), [b""]);
    }
}
