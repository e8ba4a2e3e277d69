"""Makes `tests/` importable, for what several test modules share."""
