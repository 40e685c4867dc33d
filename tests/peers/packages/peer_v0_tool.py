"""verifiers 0.3: a ToolEnv and a MultiTurnEnv in its API, with rewards that pay in parts."""

import random

import verifiers as vf
from datasets import Dataset


def add(a: int, b: int) -> int:
    """Add two integers.

    Args:
        a: the first.
        b: the second.
    """
    return a + b


def rows(n, seed):
    rng = random.Random(seed)
    pairs = [(rng.randint(0, 999), rng.randint(0, 999)) for _ in range(n)]
    return Dataset.from_list(
        [{"question": f"What is {a} plus {b}?", "answer": str(a + b)} for a, b in pairs]
    )


def correct(completion, answer, **kwargs):
    """Full marks for the sum, half for a sum that is off by one."""
    said = str(completion[-1].content or "").strip()
    if not said.lstrip("-").isdecimal() or not said.isascii():
        return 0.0
    return {0: 1.0, 1: 0.5}.get(abs(int(said) - int(answer)), 0.0)


def used_tool(completion, **kwargs):
    return float(any(getattr(m, "tool_calls", None) for m in completion))


def brief(completion, **kwargs):
    return float(len(str(completion[-1].content or "")) < 5)


class Hotter(vf.MultiTurnEnv):
    """Guess the sum; the environment says higher or lower."""

    @vf.stop
    async def guessed(self, state):
        if not state["trajectory"]:
            return False
        last = state["trajectory"][-1]["completion"][-1]
        return str(last.content or "").strip() == state["answer"]

    async def env_response(self, messages, state, **kwargs):
        said = str(messages[-1].content or "").strip()
        if not (said.isascii() and said.isdecimal()):
            return [{"role": "user", "content": "A number, please."}]
        word = "higher" if int(said) < int(state["answer"]) else "lower"
        return [{"role": "user", "content": word}]


def load_environment(kind="tool", n=200):
    rubric = vf.Rubric(funcs=[correct, used_tool, brief], weights=[1.0, 0.25, 0.0])
    data = {"dataset": rows(n, 1), "eval_dataset": rows(n, 2), "rubric": rubric}
    if kind == "tool":
        return vf.ToolEnv(tools=[add], max_turns=3, system_prompt="Use the tool.", **data)
    if kind == "judge":
        judge = vf.JudgeRubric(judge_client=object())
        judge.add_reward_func(correct)
        return vf.SingleTurnEnv(dataset=rows(n, 1), rubric=judge)
    return Hotter(max_turns=4, **data)
