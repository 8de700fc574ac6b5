"""Runs a session: performs each effect it yields and sends the reply back.

In: a dialogue, a conversation, and a performer for the effects that need a repository. Out:
nothing but what the dialogue does; errors are thrown into it first, so that it may tell the
client, and then raised for whoever logs. One driver serves every session and every road: those
that push their answers out, and those from which answers are pulled.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import suppress
from types import GeneratorType

from gitserve.errors import GitServeError, InternalError
from gitserve.record import Protocol
from gitserve.service.streams import Conversation
from gitserve.session.effects import Dialogue, Effect, Flush, Read, Send


class Performer(Protocol):
    """What does the work: one method for each kind of effect it can perform, by name.

    The names are the class's: an instance that held its own methods would stay until garbage is
    looked for, with all that it has read. Long work that writes as it goes may be a generator,
    which has written something whenever it yields, and returns the reply.
    """

    @property
    def performs(self) -> Mapping[type[Effect], str]: ...


def drive(dialogue: Dialogue, conversation: Conversation, performer: Performer) -> None:
    """Until the dialogue ends. Raises what it could not cope with."""
    for _ in advance(dialogue, conversation, performer):
        pass


def advance(
    dialogue: Dialogue, conversation: Conversation, performer: Performer
) -> Generator[None, None, None]:
    """As :func:`drive`, step by step: between two, whoever pulls takes what has been written.

    A step ends where something leaves, and there only: most effects cost less than a step does.
    """
    performs = performer.performs
    write = conversation.write
    reply: object = None
    failure: GitServeError | None = None
    try:
        while True:
            try:
                if failure is None:
                    effect = dialogue.send(reply)
                else:
                    thrown, failure = failure, None
                    try:
                        effect = dialogue.throw(thrown)
                    finally:
                        del thrown  # which holds this frame, and with it all that was read
            except StopIteration:
                conversation.flush()
                return
            reply = None
            try:
                kind = type(effect)
                if kind is Send:
                    write(effect.data)  # type: ignore[union-attr]
                elif kind is Read:
                    reply = conversation.read_run()
                elif kind is Flush:
                    conversation.flush()
                    yield
                else:
                    reply = getattr(performer, performs[kind])(effect)
                    if isinstance(reply, GeneratorType):
                        reply = yield from reply
            except GitServeError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - a bug of ours ends one request, told as such
                failure = InternalError(f"{type(error).__name__}: {error}")
                failure.__cause__ = error
    except BaseException:
        # what the session told the client on its way out; the client may be gone already
        with suppress(GitServeError):
            conversation.flush()
        raise
