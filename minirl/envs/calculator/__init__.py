"""Calculator: arithmetic beyond mental reach, with a tool that does it."""
