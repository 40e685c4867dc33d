"""Showing a run to a person. Reads records and the run directory; imports no torch."""
