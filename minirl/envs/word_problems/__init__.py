"""Arithmetic word problems, told by program: see :mod:`minirl.envs.word_problems.env`."""
