"""Real clients against the running server."""
