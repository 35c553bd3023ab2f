"""Is the line blind, and how is it: facts, faults, alarms, and who is told."""
