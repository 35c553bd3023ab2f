"""From verdicts to strokes: who is meant, when, and that none is hit twice. Pure."""
