"""A Git server for Python whose heavy work is done in Rust.

Importing this package loads nothing else: ``gitserve upload-pack`` starts once for every SSH
connection, and must answer before anyone notices. The parts, from the wire outwards:

- :mod:`gitserve.wire`: bytes and messages;
- :mod:`gitserve.session`: who says what next, without any IO;
- :mod:`gitserve.service`: does, on a repository, what a session asks for;
- :mod:`gitserve.transport`: sockets and pipes.
"""

__version__ = "0.1.0"
