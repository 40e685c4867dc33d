"""Turn-based games: the policy writes one move line a turn, and the world answers."""
