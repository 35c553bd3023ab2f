"""The bundle: opened without trust, proven on this machine, run on its fastest engine."""
