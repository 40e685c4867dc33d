"""Code with hidden tests: see :mod:`minirl.envs.code.env`."""
