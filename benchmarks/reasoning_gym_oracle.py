"""reasoning-gym itself, asked for entries and scores: what `reasoning-gym:NAME` is compared with.

Run as a script, with reasoning-gym alone; nothing of minirl is in here. One request a line, one
reply a line, both JSON. Texts are handed to their scorers as they are: only harmless ones, please.
"""

from __future__ import annotations

import copy
import decimal
import json
import os
import random
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import numpy as np
import reasoning_gym

SIZE = 500  # of a data set; its entries are drawn from the seeds that follow the data set's own
SCORE_S = 10


def judge(request: Mapping[str, Any]) -> list[tuple[str, list[float | str]]]:
    """For each numbered entry its question, and what each text gets: a score, or what is raised."""
    out = []
    for number, texts in request["entries"]:
        random.seed(first := number // SIZE * SIZE)
        held = reasoning_gym.create_dataset(request["name"], seed=first, size=SIZE)
        # Some of them draw from the global generators, one sets the global precision of decimals.
        random.seed(number)
        np.random.seed(number % 2**32)
        decimal.setcontext(decimal.Context())
        entry = held[number - first]
        scores = {text: score(held, entry, text) for text in dict.fromkeys(texts)}
        out.append((str(entry["question"]), [scores[text] for text in texts]))
    return out


def score(held: Any, entry: Mapping[str, Any], text: str) -> float | str:
    signal.setitimer(signal.ITIMER_PROF, SCORE_S)  # of CPU: the machine may be busy
    try:
        return float(held.score_answer(text, copy.deepcopy(entry)))
    except Exception as error:
        return type(error).__name__
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def late(_: int, __: FrameType | None) -> None:
    raise TimeoutError


def main() -> None:
    signal.signal(signal.SIGPROF, late)
    os.chdir(sys.argv[1])  # some programs that their codeio runs write files where they stand
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what their code prints is no reply
    for line in sys.stdin:
        print(json.dumps(judge(json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
