"""verifiers 0.4: a single-turn taskset whose reward is a ratio, after its own reverse-text."""

import random
import re
from difflib import SequenceMatcher
from typing import Literal

import verifiers.v1 as vf

_TAG = re.compile(r"<reversed_text>(.*?)</reversed_text>", re.DOTALL)
LETTERS = "abcdefghij "


class ReverseData(vf.TaskData):
    answer: str


class ReverseTask(vf.Task[ReverseData]):
    @vf.stop
    async def single_turn(self, trace: vf.Trace) -> bool:
        return trace.num_turns >= 1

    @vf.reward(weight=1.0)
    async def lcs(self, trace: vf.Trace) -> float:
        match = _TAG.search(trace.last_reply or "")
        response = match.group(1).strip() if match else ""
        return SequenceMatcher(None, response, self.data.answer).ratio()

    @vf.metric
    async def length(self, trace: vf.Trace) -> float:
        return float(len(trace.last_reply))


class ReverseConfig(vf.TasksetConfig):
    split: Literal["train", "test"] = "train"
    n: int = 150


class ReverseTaskset(vf.Taskset[ReverseTask, ReverseConfig]):
    def load(self):
        rng = random.Random(self.config.split)
        for i in range(self.config.n):
            text = "".join(rng.choice(LETTERS) for _ in range(12)).strip()
            data = ReverseData(
                idx=i,
                prompt=text,
                system_prompt="Reverse the text, in <reversed_text> tags.",
                answer=text[::-1],
            )
            yield ReverseTask(data, self.config.task)


__all__ = ["ReverseTaskset"]
