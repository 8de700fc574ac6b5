"""The parts behind dulwich's module names: :mod:`gitserve.server`, :mod:`gitserve.protocol`.

In: what people wrote for dulwich - backends, handlers, hooks, protos. Out: calls of the one
pipeline, :mod:`gitserve.session` and :mod:`gitserve.service`. Nothing below knows of this package.
"""
