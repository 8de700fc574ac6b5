"""Git's messages, one a file: bytes to values and back.

In: bytes of the peer. Out: frozen values, or :class:`~gitserve.wire.malformed.Malformed`. Nothing
here may know sockets, files, repositories, or what may come next in a dialogue.
"""
