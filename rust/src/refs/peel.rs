//! What is behind tags, remembered: an object's name says what it is for ever.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::client::Client;
use crate::hash::{IdMap, ObjectId};
use crate::object::{ObjectKind, Tag};
use crate::source::{ObjectReader, ObjectSource, SourceError};

/// So many ids are remembered for one repository (some 20 MB); then all are forgotten, which
/// costs one reading of the tags and keeps the bound simple.
const MAX_REMEMBERED: usize = 1 << 18;

/// Tags of tags are followed this far. Chains longer than two are not found in the wild.
const MAX_CHAIN: usize = 1024;

/// No tag anybody wrote is larger; what is larger is not read into memory for a ref listing.
const MAX_TAG_BYTES: u64 = 16 << 20;

/// Objects read between two looks whether anybody waits for them.
const LOOK_EVERY: usize = 64;

/// Peeled ids by id, for all snapshots of a repository.
#[derive(Debug, Default)]
pub(super) struct PeelCache {
    /// `None` for what is no tag.
    peeled: Mutex<IdMap<Option<ObjectId>>>,
}

impl PeelCache {
    fn lock(&self) -> MutexGuard<'_, IdMap<Option<ObjectId>>> {
        // single insertions: a panic elsewhere leaves the map whole
        self.peeled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Peels the refs of one request.
pub(super) struct Peeler<'a> {
    cache: &'a PeelCache,
    source: &'a dyn ObjectSource,
    reader: Option<Box<dyn ObjectReader + 'a>>,
    client: Option<&'a Client>,
    read: usize,
    /// False once an object could not be read: what was learned may be otherwise next time.
    pub(super) complete: bool,
}

impl<'a> Peeler<'a> {
    pub(super) fn new(cache: &'a PeelCache, source: &'a dyn ObjectSource) -> Self {
        Self { cache, source, reader: None, client: None, read: 0, complete: true }
    }

    /// For one who waits for the listing: nothing more is read once it has gone.
    pub(super) fn of_client(mut self, client: Option<&'a Client>) -> Self {
        self.client = client;
        self
    }

    /// The id behind a tag, all the way; `None` when `id` is no tag.
    ///
    /// As in git, a tag that cannot be followed (missing, malformed) counts as none, so that one
    /// bad object does not hide all refs. The lock is not held while objects are read: a foreign
    /// source may wait for whoever waits for us.
    pub(super) fn peel(&mut self, id: &ObjectId) -> Result<Option<ObjectId>, SourceError> {
        if let Some(known) = self.cache.lock().get(id) {
            return Ok(*known);
        }
        self.read += 1;
        if self.read.is_multiple_of(LOOK_EVERY) && self.client.is_some_and(Client::has_gone) {
            return Err(SourceError::ClientGone);
        }
        let peeled = match self.follow(id) {
            Ok(peeled) => peeled,
            Err(
                SourceError::Missing(_)
                | SourceError::Corrupt { .. }
                | SourceError::Malformed { .. }
                | SourceError::WrongKind { .. }
                | SourceError::TooLarge { .. },
            ) => {
                self.complete = false;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut cache = self.cache.lock();
        if cache.len() >= MAX_REMEMBERED {
            cache.clear();
        }
        cache.insert(*id, peeled);
        Ok(peeled)
    }

    fn follow(&mut self, id: &ObjectId) -> Result<Option<ObjectId>, SourceError> {
        let source = self.source;
        let reader = self.reader.get_or_insert_with(|| source.reader());
        let mut id = *id;
        for step in 0..MAX_CHAIN {
            let number = source.lookup(&id)?.ok_or(SourceError::Missing(id))?;
            let (kind, size) = reader.header(number)?;
            if kind != ObjectKind::Tag {
                return Ok((step > 0).then_some(id));
            }
            if size > MAX_TAG_BYTES {
                return Err(SourceError::TooLarge { id, size, limit: MAX_TAG_BYTES });
            }
            let content = reader.read_as(source, number, ObjectKind::Tag)?;
            let tag = Tag::parse(content)
                .map_err(|_| SourceError::Malformed { id, kind: ObjectKind::Tag })?;
            if tag.kind != ObjectKind::Tag {
                // as git: the tag's word is enough, its target need not be there
                return Ok(Some(tag.target));
            }
            id = tag.target;
        }
        Err(SourceError::Malformed { id, kind: ObjectKind::Tag })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use super::super::testing::Repo;
    use super::*;
    use crate::client::Silence;
    use crate::hash::HashKind;

    #[test]
    fn nothing_more_is_read_for_who_has_gone() {
        let objects = Repo::new(HashKind::Sha1).objects();
        let missing = ObjectId::null(HashKind::Sha1);
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let end = Client::new(ours.as_raw_fd(), Silence::IsGone);
        while !end.has_gone() {
            std::thread::yield_now();
        }
        let cache = PeelCache::default();
        let read = |client| {
            let mut peeler = Peeler::new(&cache, &objects).of_client(client);
            (0..2 * LOOK_EVERY).map(|_| peeler.peel(&missing)).find(Result::is_err)
        };
        assert!(matches!(read(Some(&end)), Some(Err(SourceError::ClientGone))));
        assert!(read(None).is_none());
    }
}
