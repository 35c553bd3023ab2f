"""The command line of Ripeline: one file a verb, heavy imports inside the verb."""
