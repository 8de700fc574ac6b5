"""Mutated messages for the parsers and sessions that strangers talk to."""
