"""Adapters and merged models for other programs, and the proof that they came out right."""
