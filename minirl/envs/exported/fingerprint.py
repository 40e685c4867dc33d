"""A digest of an environment's first tasks: whether a package still holds what was exported."""

from __future__ import annotations

import hashlib
from typing import Any

from minirl.envs.base import Environment
from minirl.types import SPLITS, Split, json_line


def fingerprint(env: Environment[Any], tasks: int = 5) -> str:
    """SHA-256 of the prompts, and all that the verifier knows, of the first ``tasks`` per split."""
    lines = []
    for split in SPLITS:
        for index in range(count(env, split, tasks)):
            task = env.task(split, index)
            prompt = [message.as_dict() for message in task.prompt]
            lines.append(json_line([split, index, prompt, repr(dict(task.data))]))
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def count(env: Environment[Any], split: Split, wanted: int) -> int:
    """How many of the ``wanted`` tasks the split has."""
    size = env.size(split)
    return wanted if size is None else min(wanted, size)
