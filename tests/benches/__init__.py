"""Tests of one part each, without processes or sockets."""
