"""The other end of the wire: fetching from, pushing to and listing other people's servers.

In layers, as on the server's side: dialogues (:mod:`.greeting`, :mod:`.fetch_v0`,
:mod:`.fetch_v2`, :mod:`.push`, :mod:`.archive`) are generators that yield :mod:`.effects` and do no
IO; :mod:`.driver` performs these over a :class:`.road.Road`; roads are thin byte streams. The
public names are in :mod:`gitserve.client`.
"""
