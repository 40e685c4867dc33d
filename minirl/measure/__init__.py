"""Measuring a policy: what it solves, and what training changed."""
