"""Ways for decisions out of the runtime; one file each."""
