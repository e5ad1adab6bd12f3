"""Searches over parameters, whose fits share passes or work."""
