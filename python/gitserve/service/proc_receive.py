"""The proc-receive hook: commands that somebody else carries out.

In: the commands of a push. Out: which of them are the hook's, and what it made of them: refused,
done (perhaps under other names), or given back. Implements githooks(5), "proc-receive", and
``receive.procReceiveRefs`` of git-config(1). The hook runs when the objects are in the repository,
because it sets refs to them.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitserve.record import Record
from gitserve.repository.config import Config
from gitserve.service.coprocess import Coprocess
from gitserve.service.hooks import Hooks
from gitserve.service.process import ProgramTimeout
from gitserve.service.remarks import Remarks
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import FLUSH, Marker, NeedMore, PktDecoder
from gitserve.wire.proc_receive import (
    Verdict,
    format_commands,
    format_greeting,
    format_push_options,
    parse_greeting,
    parse_report,
)
from gitserve.wire.receive_commands import Command

NOT_RUN = b"fail to run proc-receive hook"
NO_STATUS = b"proc-receive failed to report status"
FALL_THROUGH = b"fall-through"


class HandedOver:
    """Which commands are the hook's (``receive.procReceiveRefs``)."""

    def __init__(self, config: Config) -> None:
        self._patterns = [_Pattern.parse(v) for v in config.get_all("receive.procreceiverefs")]

    def __contains__(self, command: Command) -> bool:
        return any(pattern.matches(command) for pattern in self._patterns)


class _Pattern(Record):
    actions: str
    negated: bool
    prefix: bytes

    @staticmethod
    def parse(value: str | None) -> _Pattern:
        modifiers, colon, prefix = (value or "").rpartition(":")
        letters = "".join(letter for letter in "amd" if letter in modifiers)
        wanted = letters if colon and letters else "amd"
        return _Pattern(
            wanted, "!" in modifiers, prefix.rstrip("/").encode("utf-8", "surrogateescape")
        )

    def matches(self, command: Command) -> bool:
        action = "a" if command.is_create else "d" if command.is_delete else "m"
        if action not in self.actions:
            return False
        below = command.ref == self.prefix or command.ref.startswith(self.prefix + b"/")
        return below is not self.negated


class Outcome(Record):
    """What became of one command that was handed over."""

    error: bytes | None = None
    falls_through: bool = False
    """The hook gave it back: it is to be done as if there were no hook."""
    rewrites: tuple[Rewrite, ...] = ()
    """What the hook did for it, if it said more than ``ok``."""


class Rewrite(Record):
    """One ref that the hook moved for a command."""

    options: tuple[bytes, ...]
    """As the client reads them."""
    done: Command
    """As those are told who are told afterwards."""


class ProcReceive:
    """One run of the hook."""

    def __init__(self, hooks: Hooks, remarks: Remarks, *, atomic: bool) -> None:
        self._hooks = hooks
        self._remarks = remarks
        self._atomic = atomic
        self.failed = False
        """It did not run to a good end: what it gave no verdict on is not done."""

    def run(self, commands: Sequence[Command], all_refs: frozenset[bytes]) -> dict[bytes, Outcome]:
        """What it made of these, by name; ``all_refs`` are those of the whole push."""
        verdicts: list[Verdict] = []
        program = self._start()
        if program is None:
            self.failed = True
        else:
            try:
                verdicts = self._talk(program, commands)
                if program.finish() != 0:
                    self.failed = True
            except ProgramTimeout:
                self._fail(b"proc-receive hook took too long")
            except Malformed as error:
                self._fail(b"proc-receive hook: " + str(error).encode("utf-8", "replace"))
            except _Broken as error:
                self._fail(error.args[0])
            finally:
                program.close()
        return self._judged(commands, all_refs, verdicts)

    def _start(self) -> Coprocess | None:
        try:
            program = self._hooks.start("proc-receive", self._remarks.say)
        except (OSError, ValueError):  # a push option with a NUL is no environment variable
            self._remarks.error(b"cannot run the proc-receive hook")
            return None
        if program is None:
            self._remarks.error(b'cannot find hook "proc-receive"')
        return program

    def _fail(self, text: bytes) -> None:
        self.failed = True
        self._remarks.error(text)

    def _talk(self, program: Coprocess, commands: Sequence[Command]) -> list[Verdict]:
        options = self._hooks.push_options
        features = [b"push-options"] if options else []
        if self._atomic:
            features.append(b"atomic")
        answers = _Answers(program)
        greeted = program.write(format_greeting(features))
        lines = answers.section() if greeted else None
        if lines is None:
            raise _Broken(b"fail to negotiate version with proc-receive hook")
        greeting = parse_greeting(lines)
        if greeting.version not in (b"0", b"1"):
            raise _Broken(b'proc-receive version "%b" is not supported' % greeting.version[:20])
        if not program.write(format_commands(commands)):
            raise _Broken(b"fail to write commands to proc-receive hook")
        takes_options = options and b"push-options" in greeting.features
        if takes_options and not program.write(format_push_options(options)):
            raise _Broken(b"fail to write push-options to proc-receive hook")
        report = answers.section()
        if report is None:
            self.failed = True
            return []
        verdicts, complaints = parse_report(report)
        for complaint in complaints:
            self._remarks.error(complaint)
        return verdicts

    def _judged(
        self, commands: Sequence[Command], all_refs: frozenset[bytes], verdicts: list[Verdict]
    ) -> dict[bytes, Outcome]:
        handed = {command.ref: command for command in commands}
        outcomes: dict[bytes, Outcome] = {}
        for verdict in verdicts:
            command = handed.get(verdict.ref)
            if command is None:
                what = b"unexpected ref" if verdict.ref in all_refs else b"unknown ref"
                self._remarks.error(b"proc-receive reported status on %b: %b" % (what, verdict.ref))
                continue
            outcomes[verdict.ref] = _outcome(command, verdict, outcomes.get(verdict.ref))
        missing = NOT_RUN if self.failed else NO_STATUS
        for ref in handed:
            outcomes.setdefault(ref, Outcome(missing))
        return outcomes


def _outcome(command: Command, verdict: Verdict, so_far: Outcome | None) -> Outcome:
    if verdict.error is not None:
        return Outcome(verdict.error)
    if FALL_THROUGH in verdict.options:
        return Outcome(falls_through=True)
    before = so_far.rewrites if so_far is not None else ()
    if not verdict.options and not before:
        return Outcome()
    said: dict[bytes, bytes] = {}
    for option in verdict.options:
        key, _, value = option.partition(b" ")
        said[key] = value
    options = tuple(
        [
            key if key == b"forced-update" else b"%b %b" % (key, said[key])
            for key in (b"refname", b"old-oid", b"new-oid", b"forced-update")
            if key in said and (said[key] or key == b"forced-update")
        ]
    )
    done = Command(
        said.get(b"refname") or command.ref,
        said.get(b"old-oid") or command.old,
        said.get(b"new-oid") or command.new,
    )
    return Outcome(rewrites=(*before, Rewrite(options, done)))


class _Broken(Exception):
    """The hook stopped in the middle of the dialogue."""


class _Answers:
    """The sections of what a program says."""

    def __init__(self, program: Coprocess) -> None:
        self._program = program
        self._decoder = PktDecoder()

    def section(self) -> list[bytes] | None:
        """The lines up to the next flush; None when the program ends before."""
        lines: list[bytes] = []
        while True:
            packet = self._decoder.next()
            if packet is FLUSH:
                return lines
            if isinstance(packet, NeedMore):
                data = self._program.answer()
                if not data:
                    return None
                self._decoder.feed(data)
            elif not isinstance(packet, Marker):
                lines.append(packet)
