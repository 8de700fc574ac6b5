"""pkt-lines, cut anywhere and wrong in every way."""

from __future__ import annotations

import pytest
from gitserve.errors import HangupError, PeerError
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import (
    DELIM,
    FLUSH,
    MAX_LENGTH,
    MAX_PAYLOAD,
    NEED_MORE,
    RESPONSE_END,
    PktDecoder,
    Run,
    chomp,
    encode,
    encode_all,
)


def test_packets_and_markers() -> None:
    decoder = PktDecoder(b"0006a\n00040000000100020009done\n")
    assert [decoder.next() for _ in range(7)] == [
        b"a\n", b"", FLUSH, DELIM, RESPONSE_END, b"done\n", NEED_MORE,
    ]  # fmt: skip


def test_next_waits_for_every_single_byte() -> None:
    data = b"000cpayload!0000"
    decoder = PktDecoder()
    got = []
    for at in range(len(data)):
        assert decoder.next() is NEED_MORE
        decoder.feed(data[at : at + 1])
        if (packet := decoder.next()) is not NEED_MORE:
            got.append((at, packet))
    assert got == [(11, b"payload!"), (15, FLUSH)]


def test_a_run_ends_at_a_marker() -> None:
    decoder = PktDecoder(b"0005a0005b00000005c0001")
    assert decoder.take_run() == Run([b"a", b"b"], FLUSH)
    assert decoder.take_run() == Run([b"c"], DELIM)
    assert decoder.take_run() is None


def test_a_run_is_what_has_arrived() -> None:
    decoder = PktDecoder(b"0005a0006b")
    assert decoder.take_run() == Run([b"a"], None)
    assert decoder.take_run() is None
    decoder.feed(b"c00")
    assert decoder.take_run() == Run([b"bc"], None)
    decoder.feed(b"00")
    assert decoder.take_run() == Run([], FLUSH)


def test_the_rest_is_raw() -> None:
    decoder = PktDecoder(b"0005a0000PA")
    decoder.take_run()
    decoder.feed(b"CK")
    assert decoder.take_rest() == b"PACK"
    assert decoder.take_rest() == b""
    decoder.feed(b"0000")
    assert decoder.next() is FLUSH


def test_the_rest_begins_behind_the_last_packet_that_was_taken() -> None:
    decoder = PktDecoder(b"00ffhalf of a packet")
    assert decoder.take_run() is None
    assert decoder.take_rest() == b"00ffhalf of a packet"
    decoder.feed(b"0005a")
    assert decoder.take_run() == Run([b"a"], None)


@pytest.mark.parametrize(
    "digits",
    [
        b"0003", b"fff1", b"ffff", b"zzzz", b" 005", b"+005", b"0x05", b"00_5", b"-001", b"5   ",
        b"\0" * 4,
    ],
)  # fmt: skip
def test_bad_lengths(digits: bytes) -> None:
    for take in (PktDecoder.next, PktDecoder.take_run):
        decoder = PktDecoder(digits + b"payload")
        with pytest.raises(Malformed, match="bad line length"):
            take(decoder)
        with pytest.raises(Malformed):
            take(decoder)


def test_packets_before_a_bad_one_are_taken_first() -> None:
    decoder = PktDecoder(b"0005a0003")
    assert decoder.take_run() == Run([b"a"], None)
    with pytest.raises(Malformed):
        decoder.take_run()


def test_the_longest_packet() -> None:
    payload = b"x" * MAX_PAYLOAD
    data = encode(payload)
    assert data[:4] == b"fff0"
    assert len(data) == MAX_LENGTH
    assert PktDecoder(data).next() == payload
    with pytest.raises(ValueError, match="65517"):
        encode(payload + b"x")


def test_upper_case_digits() -> None:
    assert PktDecoder(b"000Fhello world").next() == b"hello world"


@pytest.mark.parametrize("cut", range(1, 8))
def test_an_end_in_the_middle(cut: int) -> None:
    decoder = PktDecoder(b"0008abcd"[:cut])
    assert decoder.take_run() is None
    with pytest.raises(HangupError):
        decoder.finish()


def test_an_end_between_packets() -> None:
    decoder = PktDecoder(b"0008abcd")
    decoder.take_run()
    decoder.finish()


def test_slow_senders_cost_no_more_than_their_bytes() -> None:
    decoder = PktDecoder(b"fff0")
    copies = set()
    for _ in range(MAX_PAYLOAD - 1):
        decoder.feed(b"x")
        assert decoder.take_run() is None
        copies.add(id(decoder._buffer))
    assert len(copies) <= 2
    decoder.feed(b"x")
    assert decoder.take_run() == Run([b"x" * MAX_PAYLOAD], None)


def test_encode_all() -> None:
    assert encode_all([b"a", b"", b"bc"]) == b"0005a00040006bc"


def test_chomp_takes_one_line_feed() -> None:
    assert [chomp(line) for line in (b"a\n", b"a", b"a\n\n", b"")] == [b"a", b"a", b"a\n", b""]


def test_errors_are_the_peers_and_quote_safely() -> None:
    assert issubclass(Malformed, PeerError)
    assert quoted(b"a\x1b[31m\xff\nb" + b"c" * 1000) == "a?[31m\ufffd?b" + "c" * 91 + "..."
