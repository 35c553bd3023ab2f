"""Commissioning: what a line is like, measured from pictures of a printed sheet that rides through it. Pure."""
