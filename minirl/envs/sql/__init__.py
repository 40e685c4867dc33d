"""Text to SQL: a question about a SQLite database, answered by a query that is run."""
