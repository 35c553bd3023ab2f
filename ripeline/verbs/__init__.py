"""One file a verb; `ripeline.main` finds them by name and imports only the one that is called."""
