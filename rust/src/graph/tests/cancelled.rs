//! Walks end soon after nobody wants them any more, whichever they are.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::enumerate::request;
use super::memory::MemorySource;
use super::repo::{TestRepo, line};
use crate::client::{Client, Silence};
use crate::graph::{
    CommitTable, DeepenSpec, GraphError, Negotiation, Shallow, all_reachable, deepen, enumerate,
};
use crate::hash::{HashKind, IdSet, ObjectId};
use crate::source::{ObjectNumber, ObjectReader, ObjectSource, PackedAt, SourceError};
use crate::watch::{Pace, Watch};

/// Commits of the history; each is looked up once at least by whoever walks it.
const LENGTH: usize = 3000;
/// Look-ups before the walk is not wanted any more.
const EARLY: usize = 400;

type Event = Box<dyn FnOnce() + Send>;

/// Something happens after so many look-ups, and each that follows may take long.
struct Eventful {
    inner: MemorySource,
    lookups: AtomicUsize,
    event: Mutex<Option<Event>>,
    slowness: Duration,
}

impl ObjectSource for Eventful {
    fn hash_kind(&self) -> HashKind {
        self.inner.hash_kind()
    }

    fn lookup(&self, id: &ObjectId) -> Result<Option<ObjectNumber>, SourceError> {
        let before = self.lookups.fetch_add(1, Ordering::Relaxed);
        if before == EARLY
            && let Some(event) = self.event.lock().unwrap().take()
        {
            event();
        }
        if before > EARLY && !self.slowness.is_zero() {
            std::thread::sleep(self.slowness);
        }
        self.inner.lookup(id)
    }

    fn id(&self, number: ObjectNumber) -> ObjectId {
        self.inner.id(number)
    }

    fn number_bound(&self) -> u32 {
        self.inner.number_bound()
    }

    fn packed_at(&self, _: ObjectNumber) -> Option<PackedAt> {
        None
    }

    fn pack(&self, _: u32) -> Option<&Arc<crate::store::Pack>> {
        None
    }

    fn reader(&self) -> Box<dyn ObjectReader + '_> {
        self.inner.reader()
    }
}

type Walk = fn(&TestRepo, Arc<Eventful>, &Watch) -> Result<(), GraphError>;

fn table() -> Arc<CommitTable> {
    Arc::new(CommitTable::new(HashKind::Sha1))
}

/// An object that no commit of the history reaches, and older than all of them.
fn stranger(repo: &TestRepo) -> ObjectId {
    repo.id("stranger")
}

fn to_the_root(repo: &TestRepo, source: Arc<Eventful>, watch: &Watch) -> Result<(), GraphError> {
    let none = Shallow::default();
    let mut ours = Negotiation::new(source, table(), &[repo.id("main")], &none, watch)?;
    assert!(ours.add_have(&stranger(repo), watch)?);
    assert!(!ours.ready(watch)?);
    Ok(())
}

/// As many as a client may say.
fn many_haves(repo: &TestRepo, source: Arc<Eventful>, watch: &Watch) -> Result<(), GraphError> {
    let none = Shallow::default();
    let mut ours = Negotiation::new(source, table(), &[stranger(repo)], &none, watch)?;
    ours.add_haves(&history(repo), watch).map(|_| ())
}

fn many_wants(repo: &TestRepo, source: Arc<Eventful>, watch: &Watch) -> Result<(), GraphError> {
    enumerate(&*source, &table(), &request(&history(repo), &[]), watch).map(|_| ())
}

fn client_boundary(
    repo: &TestRepo,
    source: Arc<Eventful>,
    watch: &Watch,
) -> Result<(), GraphError> {
    let shallow = Shallow { client: history(repo).into_iter().collect(), ..Shallow::default() };
    Negotiation::new(source, table(), &[stranger(repo)], &shallow, watch).map(|_| ())
}

fn unreachable(repo: &TestRepo, source: Arc<Eventful>, watch: &Watch) -> Result<(), GraphError> {
    let (asked, tips) = ([stranger(repo)], [repo.id("main")]);
    let missing = all_reachable(&*source, &table(), &asked, &tips, &IdSet::default(), watch)?;
    assert_eq!(missing, Some(asked[0]));
    Ok(())
}

fn to_a_depth(repo: &TestRepo, source: Arc<Eventful>, watch: &Watch) -> Result<(), GraphError> {
    let wants = [repo.id("main")];
    let depth = DeepenSpec::Depth(LENGTH as u32 - 1);
    deepen(&*source, &table(), &wants, &Shallow::default(), depth, watch).map(|_| ())
}

fn since(repo: &TestRepo, source: Arc<Eventful>, watch: &Watch) -> Result<(), GraphError> {
    let spec = DeepenSpec::SinceNot { since: Some(1), exclude: vec![stranger(repo)] };
    let wants = [repo.id("main")];
    deepen(&*source, &table(), &wants, &Shallow::default(), spec, watch).map(|_| ())
}

const WALKS: [(&str, Walk); 7] = [
    ("ready", to_the_root),
    ("haves", many_haves),
    ("wants", many_wants),
    ("client's boundary", client_boundary),
    ("all_reachable", unreachable),
    ("depth", to_a_depth),
    ("since", since),
];

fn history(repo: &TestRepo) -> Vec<ObjectId> {
    let listing = repo.git(&["rev-list", "main"]);
    listing.lines().map(|line| ObjectId::from_hex(line.as_bytes()).unwrap()).collect()
}

fn long_line() -> TestRepo {
    let repo = line(LENGTH);
    let stranger = "commit refs/heads/stranger\ncommitter C <c@x> 10 +0000\ndata 0\n";
    repo.feed(&["fast-import", "--quiet"], stranger.as_bytes());
    repo
}

fn eventful(repo: &TestRepo, event: Event, slowness: Duration) -> Arc<Eventful> {
    let (inner, event) = (repo.source(), Mutex::new(Some(event)));
    Arc::new(Eventful { inner, lookups: AtomicUsize::new(0), event, slowness })
}

#[test]
fn cancelled_walks_look_no_further() {
    let repo = long_line();
    for (name, walk) in WALKS {
        let watch = Arc::new(Watch::new());
        let theirs = Arc::clone(&watch);
        let source = eventful(&repo, Box::new(move || theirs.cancel()), Duration::ZERO);
        let outcome = walk(&repo, Arc::clone(&source), &watch);
        assert!(
            matches!(outcome, Err(GraphError::Source(SourceError::Cancelled))),
            "{name}: {outcome:?}"
        );
        let lookups = source.lookups.load(Ordering::Relaxed);
        // a step looks up a commit, or its parents too
        assert!(lookups <= EARLY + 2 * Pace::STEPS as usize, "{name}: {lookups}");
        let source = eventful(&repo, Box::new(|| ()), Duration::ZERO);
        walk(&repo, Arc::clone(&source), &Watch::new()).unwrap();
        assert!(source.lookups.load(Ordering::Relaxed) > LENGTH / 2, "{name} is no long walk");
    }
}

#[test]
fn a_client_that_closes_ends_the_walk() {
    let repo = long_line();
    for (name, walk) in WALKS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        let end = Arc::new(Client::new(server.as_raw_fd(), Silence::MayListen));
        let watch = Watch::new().of_client(Some(end));
        let source = eventful(&repo, Box::new(|| drop(client)), Duration::from_micros(300));
        let outcome = walk(&repo, Arc::clone(&source), &watch);
        assert!(
            matches!(outcome, Err(GraphError::Source(SourceError::ClientGone))),
            "{name}: {outcome:?}"
        );
        assert!(source.lookups.load(Ordering::Relaxed) < LENGTH, "{name}");
    }
}
