"""Trees as archives: what ``git archive`` makes, from objects of any source.

``request`` understands the arguments, ``selection`` finds the files, ``attributes`` what is to be
left out, ``tar`` and ``zip`` write. Must not know packets, sessions or transports.
"""
