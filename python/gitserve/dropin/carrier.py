"""pkt-lines over a pair of functions: ``Protocol`` and its relatives, as dulwich has them.

In: a function that reads and one that writes. Out: packets. :mod:`.road` lets a session run over
one of these; people's own handlers, clients and tests call the methods themselves. Git's document:
gitprotocol-common, "pkt-line Format".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from gitserve.dropin.lines import format_cmd_pkt, parse_cmd_pkt, pkt_line
from gitserve.errors import GitProtocolError, HangupException

SIDEBAND_ROOM = 65515
"""Bytes of a band in one packet of side-band-64k."""

RECEIVE_SIZE = 64 << 10
"""Bytes asked of a socket at once."""

_DIGITS = frozenset(b"0123456789abcdefABCDEF")


def _length(digits: bytes) -> int:
    """``int`` alone takes signs, blanks, underscores and ``0x``, which are no lengths."""
    if len(digits) != 4 or not _DIGITS.issuperset(digits):
        raise GitProtocolError(f"Invalid pkt-line length prefix: {digits!r}")
    length = int(digits, 16)
    if 1 < length < 4:
        raise GitProtocolError(f"Invalid pkt-line length: {length:04x}")
    return length


class Protocol:
    """Packets over ``read(size)``, which waits for all of them, and ``write(data)``."""

    def __init__(
        self,
        read: Callable[[int], bytes],
        write: Callable[[bytes], int | None],
        close: Callable[[], None] | None = None,
        report_activity: Callable[[int, str], None] | None = None,
        shutdown_write: Callable[[], None] | None = None,
    ) -> None:
        """``close`` and ``shutdown_write`` are called once at most; ``report_activity`` with the
        bytes of each packet and ``"read"`` or ``"write"``."""
        self.read = read
        self.write = write
        self.report_activity = report_activity
        self._close = close
        self._shutdown_write = shutdown_write
        self._unread: list[bytes | None] = []

    def close(self) -> None:
        """Closes what is below, if there is a way to."""
        close, self._close = self._close, None
        if close is not None:
            close()

    def shutdown_write(self) -> None:
        """Tells the peer that nothing more will be sent, if there is a way to."""
        shutdown, self._shutdown_write = self._shutdown_write, None
        if shutdown is not None:
            shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_close", None) is not None:
            warnings.warn(f"unclosed Protocol {self!r}", ResourceWarning, stacklevel=2, source=self)
            with suppress(Exception):
                self.close()

    def read_pkt_line(self) -> bytes | None:
        """The next payload; None for a flush or delimiter. HangupException at the end of input."""
        if self._unread:
            return self._unread.pop()
        try:
            digits = self.read(4)
            if not digits:
                raise HangupException
            length = _length(digits)
            payload = self.read(length - 4) if length > 4 else b""
        except ConnectionResetError as error:
            raise HangupException from error
        except OSError as error:
            raise GitProtocolError(str(error)) from error
        if self.report_activity is not None:
            self.report_activity(max(length, 4), "read")
        if length < 4:
            return None
        if len(payload) + 4 != length:
            raise GitProtocolError(
                f"Length of pkt read {len(payload) + 4:04x} does not match "
                f"length prefix {length:04x}"
            )
        return payload

    def unread_pkt_line(self, data: bytes | None) -> None:
        """Puts one packet back. Raises ValueError when there is one already."""
        if self._unread:
            raise ValueError("Attempted to unread multiple pkt-lines.")
        self._unread.append(data)

    def eof(self) -> bool:
        """Has the input ended? Waits for the next packet to know."""
        try:
            line = self.read_pkt_line()
        except HangupException:
            return True
        self.unread_pkt_line(line)
        return False

    def read_pkt_seq(self) -> Iterator[bytes]:
        """The payloads up to the next flush."""
        while line := self.read_pkt_line():
            yield line

    def write_pkt_line(self, line: bytes | None) -> None:
        """One packet, a flush for None."""
        packet = pkt_line(line)
        try:
            self.write(packet)
        except OSError as error:
            raise GitProtocolError(str(error)) from error
        if self.report_activity is not None:
            self.report_activity(len(packet), "write")

    def write_sideband(self, channel: int, blob: bytes) -> None:
        """As many packets of a band as it takes."""
        band = bytes((channel,))
        for start in range(0, len(blob), SIDEBAND_ROOM):
            self.write_pkt_line(band + blob[start : start + SIDEBAND_ROOM])

    def send_cmd(self, cmd: bytes, *args: bytes) -> None:
        """The request that opens a git:// connection."""
        self.write_pkt_line(format_cmd_pkt(cmd, *args))

    def read_cmd(self) -> tuple[bytes, list[bytes]]:
        """The request that opened a git:// connection: command and arguments."""
        line = self.read_pkt_line()
        if line is None:
            raise GitProtocolError("Expected command, got flush packet")
        return parse_cmd_pkt(line)


class ReceivableProtocol(Protocol):
    """Packets over ``recv(size)``, which like a socket's gives what there is, and ``write``."""

    def __init__(
        self,
        recv: Callable[[int], bytes],
        write: Callable[[bytes], int | None],
        close: Callable[[], None] | None = None,
        report_activity: Callable[[int, str], None] | None = None,
        rbufsize: int = RECEIVE_SIZE,
    ) -> None:
        super().__init__(self.read, write, close=close, report_activity=report_activity)
        self._recv = recv
        self._rbufsize = rbufsize
        self._received = b""
        """Taken from below, not yet from us."""

    def read(self, size: int) -> bytes:
        """All ``size`` bytes; fewer only at the end of input."""
        held = self._received
        if len(held) >= size:
            self._received = held[size:]
            return held[:size]
        self._received = b""
        pieces = [held]
        missing = size - len(held)
        while missing:
            piece = self._recv(missing)
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def recv(self, size: int) -> bytes:
        """At least one byte and at most ``size``, as soon as there are any; b"" at the end."""
        held = self._received or self._recv(self._rbufsize)
        self._received = held[size:]
        return held[:size]

    def give_back(self, data: bytes) -> None:
        """Puts bytes in front of those that come next."""
        self._received = data + self._received


class BufferedPktLineWriter:
    """Joins packets into writes of ``bufsize`` bytes."""

    def __init__(self, write: Callable[[bytes], int | None], bufsize: int = SIDEBAND_ROOM) -> None:
        self._write = write
        self._bufsize = bufsize
        self._held = bytearray()

    def write(self, data: bytes | None) -> None:
        """One packet, a flush packet for None; leaves when there is enough, perhaps cut."""
        self._held += pkt_line(data)
        while len(self._held) >= self._bufsize:
            whole = bytes(self._held[: self._bufsize])
            del self._held[: self._bufsize]
            self._write(whole)

    def flush(self) -> None:
        """The rest leaves."""
        if self._held:
            held = bytes(self._held)
            self._held.clear()
            self._write(held)


class PktLineParser:
    """Cuts fed bytes into packets and calls back with each payload, None for a flush."""

    def __init__(self, handle_pkt: Callable[[bytes | None], None]) -> None:
        self.handle_pkt = handle_pkt
        self._held = b""

    def parse(self, data: bytes) -> None:
        """Takes the next bytes of the stream. Raises GitProtocolError at a bad length."""
        held = self._held + data
        at = 0
        while len(held) - at >= 4:
            length = _length(held[at : at + 4])
            if length == 1:
                raise GitProtocolError("Invalid pkt-line length: 0001")
            if length == 0:
                self.handle_pkt(None)
                at += 4
            elif at + length <= len(held):
                self.handle_pkt(held[at + 4 : at + length])
                at += length
            else:
                break
        self._held = held[at:]

    def get_tail(self) -> bytes:
        """What is not a whole packet yet."""
        return self._held
