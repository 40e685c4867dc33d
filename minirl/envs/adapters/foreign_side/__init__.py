"""The other side of the pipe: runs in a Python that has the other library, and knows no minirl.

:mod:`minirl.envs.adapters.pipe` starts it. Nothing here imports minirl, for that Python need not
have it; relative imports only.
"""
