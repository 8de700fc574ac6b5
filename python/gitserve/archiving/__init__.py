"""Trees as archives: what ``git archive`` makes, from objects of any source.

``request`` understands the arguments, ``selection`` finds the files, ``attributes`` says what is
left out and what becomes of the others (``conversion``, ``substitution``), ``tar`` and ``zip``
write. Must not know packets, sessions or transports.
"""
