"""Everything at once, for as long as one likes: ``make soak``, and briefly in every test run."""
