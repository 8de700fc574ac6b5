"""What a crash, a power failure or a failing disk leaves of a push."""
