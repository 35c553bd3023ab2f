"""Adapters for belt encoders: one file for each real thing."""
