"""A :class:`~gitserve.policy.Policy`, asked at the six moments when it has a say.

In: the operator's policy and what is about to happen. Out: yes, or a refusal with what the client
may read of it. A policy that fails has refused. Must not know which road the bytes take.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from gitserve._core import RefSnapshot
from gitserve.errors import Refused
from gitserve.policy import Denied, Objects, Policy, Push, Request, Update
from gitserve.service.remarks import Remarks
from gitserve.service.sharing import PROCESSORS
from gitserve.wire.receive_commands import Command

RECEIVE_PACK = "receive-pack"

DECLINED = b"declined by policy"

MAX_LINKS = 5
"""Symbolic refs that stand for symbolic refs; git follows as many."""


MAX_PATTERNS = 10_000
"""Of refs hidden by a policy: each ref is compared with each."""


class NotPermitted(Refused):
    """The policy says no. ``told``: in these words; None: the client is to learn nothing."""

    def __init__(self, message: str, told: bytes | None) -> None:
        super().__init__(message, wire=told)
        self.told = told


def admit(policy: Policy | None, request: Request) -> tuple[bytes, ...]:
    """Asks at the door. The patterns of refs that are not there for this request.

    Raises :class:`NotPermitted`.
    """
    if policy is None:
        return ()
    PROCESSORS.spread()  # it may do whatever it likes
    ask = policy.may_write if request.service == RECEIVE_PACK else policy.may_read
    hidden: tuple[bytes, ...] = ()

    def ask_both() -> bool:
        nonlocal hidden
        answer = ask(request)
        if answer is True:
            hidden = _patterns(policy.hidden_refs(request))
        return answer

    said_no = _answer(ask_both)
    if said_no is not None:
        who = request.user or request.address or "somebody"
        reason, told = said_no
        raise NotPermitted(f"policy: {request.service} for {who}: {reason}", told)
    return hidden


def _patterns(given: object) -> tuple[bytes, ...]:
    """Checked: what hides nothing by mistake would show everything."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError("hidden_refs must give several patterns")
    patterns: list[bytes] = []
    for pattern in given:
        if not isinstance(pattern, str | bytes):
            raise TypeError(f"hidden_refs gave a {type(pattern).__name__}")
        bare = os.fsencode(pattern).rstrip(b"/")
        if not bare.removeprefix(b"!").removeprefix(b"^"):
            raise ValueError("hidden_refs gave an empty pattern")
        patterns.append(bare)
    if len(patterns) > MAX_PATTERNS:
        raise ValueError(f"hidden_refs gave {len(patterns)} patterns")
    return tuple(patterns)


def _answer(ask: Callable[[], bool]) -> tuple[str, bytes | None] | None:
    """None for yes; else why not, and what the client may know of that."""
    try:
        answer = ask()
    except Denied as denied:
        return str(denied), one_line(str(denied)) or None
    except Exception as error:  # noqa: BLE001 - a bug in somebody's rules must not let anyone in
        return f"{type(error).__name__}: {error}", None
    return None if answer is True else ("no", None)


def one_line(text: str) -> bytes:
    """As it fits into a packet, or a report."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()).encode()[:500]


class Judge:
    """The policy's part in one push."""

    def __init__(
        self, policy: Policy, request: Request, refs: RefSnapshot, log: Callable[[str], None]
    ) -> None:
        """``log`` is told why, where the client is not."""
        self._policy = policy
        self._request = request
        self._refs = refs
        self._log = log

    def update(
        self, commands: Sequence[Command], objects: Objects, options: Sequence[bytes],
        remarks: Remarks,
    ) -> list[bytes | None]:  # fmt: skip
        """For each command the word of refusal, if there is one."""
        push = self._push(commands, objects, options, remarks)
        return [
            self._word(lambda update=update: self._policy.may_update(push, update))  # type: ignore[misc]
            for update in push.updates
        ]

    def before(
        self, commands: Sequence[Command], objects: Objects, options: Sequence[bytes],
        remarks: Remarks,
    ) -> bytes | None:  # fmt: skip
        """The word of refusal for all of them."""
        push = self._push(commands, objects, options, remarks)
        return self._word(lambda: self._policy.before(push))

    def after(
        self, commands: Sequence[Command], objects: Objects, options: Sequence[bytes],
        remarks: Remarks,
    ) -> None:  # fmt: skip
        """They are done."""
        try:
            self._policy.after(self._push(commands, objects, options, remarks))
        except Exception as error:  # noqa: BLE001 - it is done all the same
            self._log(f"policy: after: {type(error).__name__}: {error}")

    def _word(self, ask: Callable[[], bool]) -> bytes | None:
        said_no = _answer(ask)
        if said_no is None:
            return None
        reason, told = said_no
        if told is None and reason != "no":
            self._log(f"policy: {reason}")
        return told or DECLINED

    def _push(
        self, commands: Sequence[Command], objects: Objects, options: Sequence[bytes],
        remarks: Remarks,
    ) -> Push:  # fmt: skip
        def say(text: str) -> None:
            remarks.say_if_heard(text.rstrip("\n").encode("utf-8", "replace") + b"\n")

        updates = tuple(Update(self._moved(c.ref), c.old, c.new, c.ref) for c in commands)
        return Push(self._request, updates, objects, tuple(options), say)

    def _moved(self, ref: bytes) -> bytes:
        """A push through a symbolic ref moves another one, and that one's rules hold."""
        for _ in range(MAX_LINKS):
            target = self._refs.symbolic(ref)
            if target is None:
                break
            ref = target
        return ref
