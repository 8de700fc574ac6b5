"""What the tests stand on: gits, repositories, servers and a client that may misbehave."""
