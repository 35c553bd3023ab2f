"""`line.toml`: its tables, what contradicts what, and the strict reader."""
