"""The Rust core. Checked against the binary by stubtest.

Ids are hexadecimal digits as ``bytes``, as on the wire; ref names are ``bytes``; paths ``str``.
Every class is a frozen, opaque handle that may be used from any thread. Calls that may take long
run detached from the interpreter. Errors are the classes of :mod:`gitserve.errors`.
"""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, Self, final

from gitserve.options import RefFormat, Reflogs

__all__ = [
    "Chunk",
    "Client",
    "FileStamps",
    "LockedFile",
    "Negotiation",
    "PackCache",
    "PackReceiver",
    "PackStream",
    "Pieces",
    "Quarantine",
    "RefSnapshot",
    "RefStore",
    "Snapshot",
    "Store",
    "Upkeep",
    "__version__",
    "all_reachable",
    "build_profile",
    "check_connected",
    "deepen",
    "fsck_messages",
    "give_back_memory",
    "keep_freed_memory",
    "large_requests",
    "limit_learning",
    "share_out",
]

__version__: str
build_profile: Literal["release", "debug"]

@final
class Store:
    """One ``objects/`` folder with its alternates; shared by everyone in the process."""

    @staticmethod
    def open(
        objects_dir: str, object_format: str = "sha1", *, alternates: Sequence[str] = ...
    ) -> Store:
        """The store of this folder, found again by the folder's identity when it is open already.

        ``alternates`` come before those of ``info/alternates`` (a quarantine's main store).
        Raises :class:`~gitserve.errors.NoRepository` when there is no such folder.
        """

    def snapshot(self) -> Snapshot:
        """What is there now, as one immutable value; the same one while nothing changed."""

    def recent(self) -> Snapshot:
        """What was there when somebody last asked; no file is looked at unless nobody has."""

@final
class Snapshot:
    """The objects of one moment. Survives repack and gc beside it."""

    @staticmethod
    def foreign(
        contains: Callable[[bytes], bool],
        get_raw: Callable[[bytes], tuple[int, bytes]],
        object_format: str = "sha1",
    ) -> Snapshot:
        """Over somebody's own object store.

        ``contains(id)`` says whether an object is there; ``get_raw(id)`` gives its kind's number in
        packs (1 commit, 2 tree, 3 blob, 4 tag) and its content, or raises KeyError. Both are called
        from any thread; ids are never computed anew.
        """

    @property
    def object_format(self) -> str: ...
    def __contains__(self, key: bytes, /) -> bool: ...
    def is_usable(self, object_id: bytes) -> bool:
        """As ``in``, and False where that raises: a damaged or lost pack may have held it."""

    def header(self, object_id: bytes) -> tuple[str, int] | None:
        """Kind and size in bytes, ``None`` when the object is not here."""

    def read(self, object_id: bytes, limit: int = ...) -> tuple[str, bytes]:
        """Kind and content. MissingObject, RepositoryError; Refused beyond ``limit`` bytes."""

    def pieces(self, object_id: bytes) -> Pieces:
        """The content of an object of any size, in pieces of some 100 KiB."""

    def abbreviation(self, object_id: bytes) -> tuple[int, int]:
        """How many digits tell this id from all others; how many packed objects there are."""

    def peel(self, object_id: bytes) -> bytes | None:
        """The id behind a tag, all the way; ``None`` when the object is no tag."""

    def write_loose(self, kind: str, content: bytes, *, sharing: int = 0) -> bytes:
        """Stores an object durably as a loose file of the snapshot's store; its id.

        ``sharing``: as :meth:`RefStore.update` has it.
        """

    def take_warnings(self) -> list[str]:
        """Damaged files of the repository that were left out, by name. Each is given once."""

@final
class Pieces(Iterator[bytes]):
    """Content on its way. A few pieces are read ahead, and no more once this is dropped."""

    def __iter__(self) -> Pieces: ...
    def __next__(self) -> bytes: ...

@final
class RefStore:
    """The refs of one repository on disk, in files or in tables, and their logs."""

    def __new__(
        cls,
        git_dir: str,
        common_dir: str | None = None,
        object_format: str = "sha1",
        ref_format: RefFormat = "files",
        *,
        block_size: int = 0,
        restart_interval: int = 0,
        geometric_factor: int = 0,
        lock_timeout: int | None = None,
    ) -> Self:
        """What stands behind ``ref_format`` is for tables: ``reftable.*`` of git-config(1).

        0 is git's default; ``lock_timeout`` are milliseconds, below 0 for ever.
        """

    def snapshot(self) -> RefSnapshot: ...
    def update(
        self,
        updates: Sequence[tuple[bytes, bytes | None, bytes | None]],
        *,
        atomic: bool = False,
        committer: bytes | None = None,
        message: bytes | None = None,
        reflog: Reflogs = "existing",
        fsync: bool = True,
        objects: Snapshot | None = None,
        witness: Callable[[str, bytes], bool] | None = None,
        sharing: int = 0,
    ) -> list[tuple[str, str] | None]:
        """Moves refs by compare-and-swap: lock all, compare, write, fsync, rename, log.

        Each update is (name, old, new). ``old`` None: whatever it is; zeros: must not exist.
        ``new`` None or zeros: delete. Symbolic refs are followed (HEAD moves its branch).
        Per update None where it was done, else (what a client may read, what is for the log).
        ``atomic``: all or nothing. ``committer`` is ``Name <address> seconds zone``; without it
        no reflog is written. With ``objects``, many new refs go straight into packed-refs.
        ``witness``: called with "prepared", "committed" or "aborted" and the lines of
        githooks(5), "reference-transaction"; false, or an exception, stops what is prepared.
        ``sharing``: a mode that files get beside the umask's, below 0 the only one, 0 for none.
        """

    def set_symbolic(
        self,
        name: bytes,
        target: bytes,
        *,
        committer: bytes | None = None,
        message: bytes | None = None,
        reflog: Reflogs = "existing",
    ) -> None:
        """Makes a ref follow another, which need not exist. Raises RepositoryError."""

@final
class LockedFile:
    """The right to change one file beside the refs, such as ``shallow``, under git's lock."""

    def __new__(cls, common_dir: str, name: str, *, sharing: int = 0) -> Self:
        """Waits up to a second for whoever holds it; a killed process of ours is no one.

        ``sharing``: as :meth:`RefStore.update` has it. Raises RepositoryError.
        """

    def read(self) -> bytes:
        """What the file says; empty where there is none."""

    def replace(self, content: bytes) -> None:
        """Says this durably, and gives the lock back. Empty: there is no such file any more."""

    def release(self) -> None:
        """Gives the lock back with nothing changed. Safe to call at any time."""

@final
class RefSnapshot:
    """All refs of one moment."""

    @staticmethod
    def given(
        refs: Sequence[tuple[bytes, bytes]],
        head: bytes | None = None,
        object_format: str = "sha1",
        *,
        before: RefSnapshot | None = None,
    ) -> RefSnapshot:
        """Of (name, id) pairs that somebody's own store gave, ``HEAD`` not among them.

        ``head`` is the full name of its branch, or the id it is detached at. ``before``: what the
        same store gave earlier, so that tags are not read again.
        """

    def __len__(self) -> int: ...
    def get(self, name: bytes) -> bytes | None:
        """The id that a full ref name leads to, through symbolic refs; None when unborn/absent."""

    def symbolic(self, name: bytes) -> bytes | None:
        """The target name of a symbolic ref, else None."""

    def items(self, prefix: bytes | None = None) -> list[tuple[bytes, bytes]]:
        """(name, id) sorted by name, HEAD not included; broken refs left out."""

    def peeled(self, name: bytes, objects: Snapshot) -> bytes | None:
        """The id behind the tag that a ref names, None when it names no tag."""

    def hidden(self, patterns: Sequence[bytes]) -> RefSnapshot:
        """A view without the refs that ``transfer.hideRefs`` patterns match (also ``!``, ``^``)."""

    def has_tip(self, object_id: bytes) -> bool:
        """Is this the value of a visible ref (or HEAD)?"""

    def advertisement(
        self,
        objects: Snapshot,
        capabilities: bytes,
        receive: bool = False,
        *,
        haves: Sequence[bytes] = ...,
        shallow: Sequence[bytes] = ...,
        client: Client | None = None,
    ) -> tuple[bytes | Chunk, ...]:
        """The v0/v1 advertisement as pkt-lines, with its closing flush: to be sent one after the
        other.

        ``haves`` are told as ``.have`` unless a ref has the same value; ``shallow`` as shallow
        lines.
        """

    def ls_refs(
        self,
        objects: Snapshot,
        prefixes: Sequence[bytes] = ...,
        *,
        peel: bool = False,
        symrefs: bool = False,
        unborn: bool = False,
        client: Client | None = None,
    ) -> bytes | Chunk:
        """The v2 ls-refs lines as pkt-lines, with the closing flush."""

    def remembered_ls_refs(
        self,
        prefixes: Sequence[bytes] = ...,
        *,
        peel: bool = False,
        symrefs: bool = False,
        unborn: bool = False,
    ) -> bytes | Chunk | None:
        """What :meth:`ls_refs` says, where somebody has asked the same already."""

@final
class Client:
    """The other end of a conversation, for whoever works while it waits.

    What gets one raises HangupError soon after nobody reads there any more, and :class:`Busy` when
    it turns out to be large while too many such wait.
    """

    def __new__(cls, descriptor: int, *, may_listen: bool) -> Self:
        """``descriptor``: of a socket or pipe, open for as long as anybody looks.

        ``may_listen``: a client that has ended its side may read still, so a ``0`` is sent to find
        out, with which every answer begins; else it has gone.
        """

    def spoken_to(self) -> Client:
        """The same for work beside which somebody else writes to it: nothing is sent to find out,
        and it has gone when nobody takes what is written."""

    def has_ended(self) -> bool:
        """It will send no more. It may read still."""

    def look(self) -> None:
        """Raises HangupError when it has gone. May be called often."""

    def take_owed(self) -> bool:
        """Has the ``0`` been sent? Told once, to whoever writes the rest."""

@final
class Negotiation:
    """Which of what the client has is common, and whether that is enough.

    Raises as :class:`Client` says, and is of no use any more then.
    """

    def __new__(
        cls,
        objects: Snapshot,
        wants: Sequence[bytes],
        client_shallow: Sequence[bytes] = ...,
        server_shallow: Sequence[bytes] = ...,
        *,
        client: Client | None = None,
    ) -> Self: ...
    def add_haves(self, haves: Sequence[bytes]) -> list[bytes]:
        """Those of ``haves`` that the repository has, in order."""

    def ready(self) -> bool:
        """Does every want reach something common (git's ok_to_give_up)?"""

    def common(self) -> list[bytes]: ...

def all_reachable(
    objects: Snapshot,
    ids: Sequence[bytes],
    tips: Sequence[bytes],
    server_shallow: Sequence[bytes] = ...,
    *,
    refs: RefSnapshot | None = None,
    client: Client | None = None,
) -> bytes | None:
    """The first of ``ids`` that no tip reaches (commits by ancestry), None when all are reached.

    What ``refs`` and their HEAD lead to are tips too.
    """

def fsck_messages() -> list[tuple[str, bool]]:
    """The ids of Git's ``fsck-msgids`` that objects can have, and whether each stays fatal."""

def check_connected(
    objects: Snapshot,
    tips: Sequence[bytes],
    known: Sequence[bytes],
    server_shallow: Sequence[bytes] = ...,
    *,
    refs: RefSnapshot | None = None,
) -> bytes | None:
    """As :meth:`Quarantine.check_connected`, of objects that are stored already."""

def deepen(
    objects: Snapshot,
    wants: Sequence[bytes],
    client_shallow: Sequence[bytes],
    server_shallow: Sequence[bytes] = ...,
    *,
    depth: int | None = None,
    relative: bool = False,
    since: int | None = None,
    exclude: Sequence[bytes] = ...,
    client: Client | None = None,
) -> tuple[list[bytes], list[bytes]]:
    """(shallow, unshallow): the new boundary against what the client said. ``exclude``: ids."""

@final
class PackCache:
    """A folder of remembered packs, shared by all processes that open it. So are the counts."""

    @staticmethod
    def open(directory: str, size: int) -> PackCache:
        """``size``: bytes that all files in it may take. Raises OSError when the folder cannot be
        made, or is not this user's alone."""

    @property
    def size(self) -> int: ...
    @property
    def hits(self) -> int:
        """Requests that this process answered from a pack that was there."""

    @property
    def misses(self) -> int:
        """Requests that found none, and set out to make it."""

    @property
    def followers(self) -> int:
        """Requests that read a pack while it was made for another one."""

    @property
    def bytes(self) -> int:
        """Of packs, read from the folder."""

@final
class Chunk:
    """Bytes on their way to a client, lent by the core. What takes a buffer takes it, without a
    copy unless a file has them; ``bytes`` makes one.

    Of packs on disk a chunk holds files and places. They are read when a buffer is asked for, which
    raises RepositoryError if they cannot be.
    """

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def send(self, socket: int) -> None:
        """All of it to the connected socket with this descriptor, which must block; what files have
        by sendfile(2).

        Raises OSError for the socket, BlockingIOError when it took nothing for as long as its
        SO_SNDTIMEO; RepositoryError when a file cannot be read.
        """

@final
class PackStream(Iterator[Chunk]):
    """Enumerates, plans and writes one pack on background threads; yields ready-to-send buffers.

    Buffers of up to 512 KiB, each a run of whole side-band packets (or raw pack bytes when
    ``band_limit`` is 0), progress packets among them. An error before the first pack byte is
    raised with nothing of the pack sent. Dropping or closing the stream stops its workers.
    """

    def __new__(
        cls,
        objects: Snapshot,
        wants: Sequence[bytes],
        common: Sequence[bytes] = ...,
        *,
        client_shallow: Sequence[bytes] = ...,
        server_shallow: Sequence[bytes] = ...,
        shallow: Sequence[bytes] = ...,
        unshallow: Sequence[bytes] = ...,
        filter_spec: bytes | None = None,
        thin: bool = False,
        ofs_delta: bool = False,
        include_tag: RefSnapshot | None = None,
        progress: bool = False,
        band_limit: int = 65520,
        keepalive: float = 5.0,
        threads: int = 0,
        sideband_all: bool = False,
        use_bitmaps: bool = True,
        client: Client | None = None,
        leave_missing: bool = False,
        cache: PackCache | None = None,
        leave_out: Sequence[bytes] = ...,
        window: int = 10,
        depth: int = 50,
        window_memory: int = 0,
        level: int = ...,
        big_file_threshold: int | None = None,
        reuse_packs: bool = True,
    ) -> Self:
        """``client``: whom the buffers go to. When nobody reads there any more, HangupError is
        raised within 100 ms.
        ``leave_missing``: what the repository lacks is left out instead of being an error.
        ``cache``: where packs are remembered; whether the client may have what it wants has been
        decided by now. ``leave_out``: ids of objects that the client gets elsewhere.
        ``window``, ``depth``, ``window_memory`` (bytes for each thread; 0: the core's own bound),
        ``level``, ``big_file_threshold``: of the search for new deltas. ``reuse_packs``: a pack
        that a bitmap covers may be copied without a look at its objects.
        """

    def __iter__(self) -> PackStream: ...
    def __next__(self) -> Chunk: ...
    def left_out(self) -> list[bytes]:
        """Waits until it is known which of ``leave_out`` would have been in the pack. To be called
        once, before the first buffer is taken."""

    def close(self) -> None: ...
    @property
    def objects(self) -> int:
        """Objects in the pack; 0 until it is planned."""

    @property
    def urgent(self) -> bool:
        """The buffer given last should leave at once: the next one may take long."""

    @property
    def remembered(self) -> Literal["made", "followed", "kept"] | None:
        """What the cache had to do with it: the pack was made for all who ask for it, it was read
        while somebody else's was made, or it was there. None: nothing."""

    @property
    def deltas(self) -> int: ...
    @property
    def reused(self) -> int: ...
    @property
    def pack_bytes(self) -> int:
        """Bytes of the pack written so far, header and trailer included."""

@final
class Quarantine:
    """A folder beside the objects where a push waits until it is accepted (git's tmp_objdir)."""

    def __new__(
        cls,
        objects_dir: str,
        object_format: str = "sha1",
        *,
        fsync: AbstractSet[str] | None = None,
        sharing: int = 0,
    ) -> Self:
        """Makes ``objects/incoming-XXXXXX``.

        ``fsync``: the components that are on the disk when :meth:`PackReceiver.finish` and
        :meth:`publish` return, by the names of ``core.fsync``; None for all of them.
        ``sharing``: as :meth:`RefStore.update` has it, of what is published.
        """

    @property
    def path(self) -> str: ...
    def receive(
        self,
        *,
        max_pack_bytes: int | None = None,
        max_object_bytes: int | None = None,
        max_objects: int | None = None,
        max_depth: int | None = None,
        max_ratio: int | None = None,
        max_seconds: int | None = None,
        threads: int = 0,
        memory: int | None = None,
        examine: tuple[Sequence[tuple[str, str]], Sequence[bytes]] | None = None,
    ) -> PackReceiver:
        """``max_ratio``: times the pack's size that its objects may inflate to, beyond 64 GiB;
        ``max_seconds``: that its deltas may take; 0 for no limit, as ``max_pack_bytes``.
        ``memory``: bytes for intermediate results.

        ``examine``: the rules that :meth:`check_objects` will be asked about, so that objects
        are looked at while they are made; it then need not read them again.
        """

    def check_connected(
        self,
        tips: Sequence[bytes],
        known: Sequence[bytes],
        server_shallow: Sequence[bytes] = ...,
        *,
        refs: RefSnapshot | None = None,
    ) -> bytes | None:
        """None when every tip reaches only objects that exist; else the id of the first missing.

        ``known``: ids that were complete before, and what ``refs`` lead to; the walk stops at what
        they reach.
        """

    def unconnected(
        self,
        tips: Sequence[bytes],
        known: Sequence[bytes],
        server_shallow: Sequence[bytes] = ...,
        *,
        refs: RefSnapshot | None = None,
        seconds: int = 0,
        memory: int = 0,
        client: Client | None = None,
    ) -> tuple[list[int], bytes | None]:
        """Which of the tips lead to a missing object, and the first such object.

        As :meth:`check_connected` for each of them, at the cost of a few walks. Where very many
        lead nowhere, some that are well are among them. Raises Refused after so many ``seconds``,
        and where more bytes of ``memory`` would be held; 0: never.
        """

    def check_objects(
        self, severities: Sequence[tuple[str, str]] = ..., skip: Sequence[bytes] = ...
    ) -> tuple[list[str], bool]:
        """Are the received objects well formed? Lines to be shown, and whether any is refused.

        ``severities``: (message id, ``ignore``, ``warn`` or ``error``) where it is not to be as in
        Git's ``fsck-msgids``, with warnings as errors; ids in any case. ``skip``: objects that are
        not looked at. Raises ValueError for an unknown id, and for one that stays fatal.
        """

    def objects(self) -> Snapshot:
        """What is stored, and what waits here; not to be asked for once that is published."""

    def unpack(self) -> int:
        """Makes loose objects of what was received, but of what the repository has; how many."""

    def publish(self) -> None:
        """Moves everything into the object store, durably: pack before idx, folders fsynced.

        The new packs are kept from a repack until :meth:`discard`: call it when the refs name them.
        """

    def discard(self) -> None:
        """Lets go: of published packs, and of the folder with whatever was not published.

        Also happens when the object is dropped. Safe to call twice.
        """

@final
class PackReceiver:
    """A streaming index-pack: takes bytes as they arrive, stores and indexes the pack."""

    def write(self, chunk: bytes) -> int:
        """Takes bytes; how many belonged to the pack. Raises PackError at the first wrong one."""

    @property
    def complete(self) -> bool:
        """The trailer has been read and is right."""

    @property
    def objects_expected(self) -> int: ...
    @property
    def objects_received(self) -> int: ...
    def finish(self, on_progress: Callable[[int, int], None] | None = None) -> int:
        """Resolves deltas, completes a thin pack, writes idx and rev, fsyncs. Object count.

        ``on_progress(done, total)`` is called a few times a second while deltas are resolved.
        Raises PackError; the quarantine is then only fit for discarding.
        """

@final
class FileStamps:
    """What told some files from others when they were read, so as to see whether they changed."""

    def __new__(cls, seen: Sequence[tuple[str, tuple[int, int, int, int, int] | None]]) -> Self:
        """Each path with its device, inode, size, and times of content and inode in nanoseconds;
        with None where there was no file."""

    def stand(self) -> bool:
        """Is each still what it was? Raises :class:`~gitserve.errors.RepositoryError`."""

@final
class Upkeep:
    """A repository that is to be kept in order."""

    def __new__(
        cls,
        common_dir: str,
        objects_dir: str,
        refs: RefStore,
        object_format: str = "sha1",
        *,
        shallow: Sequence[bytes] = ...,
        sharing: int = 0,
    ) -> Self: ...
    def untold_failure(self) -> str | None:
        """What went wrong with the last roll-up in the background; once a process."""

    def is_due(self, packs: int, loose: int) -> bool:
        """Would so many packs be rolled up, or about so many loose objects? Costs little."""

    def roll_up_soon(
        self,
        packs: int,
        loose: int,
        *,
        depth: int = 50,
        fsync: set[str] | None = None,
        pack_refs: bool = True,
        write_bitmap: bool = True,
        graph: tuple[bool, tuple[int, int | None, bool] | None] | None = None,
    ) -> None:
        """Does it in the background, one repository after the other, unless it waits already.

        What fails is not tried again for an hour, and told by :meth:`untold_failure`.
        """

    @staticmethod
    def end_all(seconds: float) -> bool:
        """Ends what runs in the background, and forgets what waits; False if it took longer.

        For a process that is about to end: cut off, it would leave files for the next one.
        """

    def run(
        self,
        *,
        full: bool = False,
        least_packs: int = 2,
        least_loose: int = 1,
        grace: float | None = None,
        threads: int = 0,
        window: int = 10,
        depth: int = 50,
        level: int = ...,
        big_file_threshold: int | None = None,
        fsync: set[str] | None = None,
        pack_refs: bool = True,
        write_bitmap: bool = True,
        graph: tuple[bool, tuple[int, int | None, bool] | None] | None = None,
        on_progress: Callable[[str, int, int | None, bool], None] | None = None,
    ) -> tuple[list[tuple[str, int]], list[str]]:
        """Rolls up loose objects and small packs, or with ``full`` everything into one pack.

        Nothing is done unless ``least_packs`` packs or ``least_loose`` loose objects would go.
        ``grace``: seconds for which unreachable objects are kept; None: forever. ``graph``: whether
        a commit-graph has corrected dates, and if it has filters, their version (0: as there are),
        how many may be new, and whether a roll-up begins with them; None: none is written. Gives
        numbers by name and warnings. Raises Busy when somebody else is at it.
        """

def share_out(
    *, memory: int = 0, places: int = 0, waiting: int | None = None, small_work: float = 0.05
) -> None:
    """What this process has for its large requests: those that work for ``small_work`` seconds.

    ``memory``: bytes for all of them together; 0: no limit. ``places``: how many work at one time;
    0: as many as there are processors, at least two. ``waiting``: how many may wait to begin; one
    more gets Busy. None: they all wait.
    """

def limit_learning(memory: int) -> None:
    """Bytes that this process keeps of what requests found out: reachability, and deltas.

    384 MB unless told otherwise. 0: nothing is kept from now on. What has been kept of deltas
    shrinks at once; bitmaps in memory only stop growing, and go with their repository's store.
    """

def large_requests() -> tuple[int, int]:
    """How many have begun and are not over, and how many wait to begin."""

def give_back_memory() -> None:
    """Gives memory that packs took since the last time back to the system; else does nothing."""

def keep_freed_memory() -> bool:
    """Makes freed memory stay in the process, for one that only serves; False where it cannot.

    A setting of the C library for the whole process, not for one that has gitserve in it beside
    other things.
    """
