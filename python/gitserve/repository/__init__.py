"""A Git repository on disk, without its protocol.

Configuration (:mod:`.config`), finding repositories (:mod:`.locate`), whose they are
(:mod:`.ownership`) and the handle that everything else works on (:mod:`.native`). Knows files
and :mod:`gitserve._core`; must not know packets, sessions or transports.
"""
