"""Bytes made from other bytes, as fuzzers do.

In: seeds and a source of randomness. Out: one input. Knows pkt-lines just enough to keep lengths
true about half the time, without which nothing would get past the first packet.
"""

from __future__ import annotations

import random

WORDS = [
    b"want ", b"have ", b"shallow ", b"unshallow ", b"deepen ", b"deepen-since ", b"deepen-not ",
    b"deepen-relative", b"filter ", b"done", b"ref-prefix ", b"command=fetch", b"command=ls-refs",
    b"command=object-info", b"want-ref ", b"agent=x", b"object-format=sha256", b"ACK ", b"NAK",
    b"ok ", b"ng ", b"unpack ok", b"option ", b"push-cert\0", b"push-cert-end\n", b"ERR ", b"size",
    b"oid ", b"0" * 40, b"f" * 40, b"0" * 64, b"\0", b"\n", b"\r\n", b"  ", b"%00", b"%2", b"../",
    b"refs/heads/", b"HEAD", b"blob:none", b"tree:1", b"combine:", b"argument ", b"version=2",
    b"host=", b"git-upload-pack /", b"sideband-all", b"packfile-uris https", b"\xff\xfe", b"-1",
    b"99999999999999999999", b"PACK", b"\1", b"\2", b"\3", b"0000", b"0001", b"0002", b"0003",
    b"0004", b"ffff", b"fff0", b"fff1", b"FFFF", b"+000", b"0x10",
]  # fmt: skip


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One more input."""
    data = bytearray(rng.choice(seeds))
    packets = _packets(bytes(data)) if rng.random() < 0.5 else None
    if packets:
        for _ in range(rng.randint(1, 4)):
            _change_packets(rng, packets, seeds)
        data = bytearray(b"".join(packets))
    for _ in range(rng.choice((0, 1, 1, 2, 4, 8)) if packets else rng.choice((1, 1, 2, 4, 8))):
        _change_bytes(rng, data)
    return bytes(data)


def _packets(data: bytes) -> list[bytes] | None:
    """None for what is no sequence of pkt-lines."""
    found, at = [], 0
    while at < len(data):
        try:
            size = max(4, int(data[at : at + 4], 16))
        except ValueError:
            return None
        found.append(data[at : at + size])
        at += size
    return found


def _change_packets(rng: random.Random, packets: list[bytes], seeds: list[bytes]) -> None:
    at = rng.randrange(len(packets) + 1)
    action = rng.randrange(5)
    if action == 0:
        packets.insert(at, rng.choice((b"0000", b"0001", b"0002", b"0004")))
    elif action == 1 and packets:
        packets.insert(at, rng.choice(packets) * rng.choice((1, 1, 1, 50)))
    elif action == 2 and packets:
        del packets[min(at, len(packets) - 1)]
    elif action == 3:
        packets[at:at] = (_packets(rng.choice(seeds)) or [])[: rng.randint(1, 6)]
    elif packets:
        at = min(at, len(packets) - 1)
        payload = bytearray(packets[at][4:])
        for _ in range(rng.randint(1, 3)):
            _change_bytes(rng, payload)
        payload = payload[:65516]
        packets[at] = b"%04x" % (len(payload) + 4) + payload


def _change_bytes(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    action = rng.randrange(7)
    if action == 0:
        data[at:at] = rng.choice(WORDS)
    elif action == 1:
        word = rng.choice(WORDS)
        data[at : at + len(word)] = word
    elif action == 2:
        del data[at : at + rng.choice((1, 1, 4, 40))]
    elif action == 3:
        del data[at:]
    elif action == 4 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif action == 5:
        data[at:at] = data[rng.randrange(len(data) + 1) :][: rng.choice((1, 8, 100))]
    else:
        data[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 2, 8))))
