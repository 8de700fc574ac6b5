"""What strangers try, and what must come of it. docs/SECURITY.md has the list."""
