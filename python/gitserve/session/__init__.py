"""The state machines: what may come next, and what is answered.

A session is a generator of effects (:mod:`gitserve.session.effects`); whoever performs them sends
each one's reply back, or throws what went wrong. It must not know how bytes travel nor how objects
are stored.
"""
