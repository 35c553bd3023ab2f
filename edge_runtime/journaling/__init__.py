"""From a decision to a durable record, and from there to everybody who gets it."""
