"""The harness measures what it says: recording, the file that is replayed, the table."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

from benches.conversations import Conversation, fetch, recorder, write
from benches.report import Measured, table


def test_turns_are_cut_where_the_server_spoke() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for _ in range(2):
                    connection.recv(100)
                    connection.sendall(b"answer")
                while connection.recv(100):
                    pass

        server = threading.Thread(target=serve)
        server.start()
        with recorder(listener.getsockname()) as recording:
            client = socket.create_connection(("127.0.0.1", recording.port))
            for said in (b"first", b"second"):
                client.sendall(said)
                client.recv(100)
            client.sendall(b"bye")
            client.close()
        server.join()
    assert recording.conversation() == Conversation((b"first", b"second"), b"bye")


def test_file_of_conversations(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, [Conversation((b"ab", b""), b"0000")])
    assert path.read_bytes() == struct.pack("<III2sII4s", 1, 2, 2, b"ab", 0, 4, b"0000")


def test_fetch_says_done_only_without_haves() -> None:
    assert b"done\n" in fetch("/x", ["1" * 40], []).turns[1]
    assert b"done\n" not in fetch("/x", ["1" * 40], ["2" * 40]).turns[1]


def test_table_shows_medians_ratios_and_failures() -> None:
    def measured(server: str, seconds: float, errors: int = 0) -> Measured:
        return Measured("work", server, 100, errors, seconds, 5000, 1, 2, 1, 2, seconds, 10**6)

    theirs = [measured("git daemon", seconds) for seconds in (10.0, 20.0, 90.0)]
    text = table([*theirs, measured("gitserve", 2.0, errors=3)], ["git daemon", "gitserve"])
    _, git_daemon, gitserve, better = text.splitlines()
    assert git_daemon.split()[3] == "5.00"
    assert gitserve.split()[1] == "50.00"
    assert "3 FAILED" in gitserve
    assert better.split()[1] == "10.0x"
