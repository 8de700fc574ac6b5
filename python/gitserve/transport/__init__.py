"""The roads: the only places that read and write sockets and pipes.

:mod:`.tcp` is the git:// daemon, :mod:`.stdio` the services that sshd and ``git clone -u`` start.
Both give :mod:`gitserve.service` a source and a sink of bytes; they must not know what is
negotiated over them.
"""
