"""2048 as "write a strategy": see :mod:`minirl.envs.strategy_2048.env`."""
