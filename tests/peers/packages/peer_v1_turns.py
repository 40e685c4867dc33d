"""verifiers 0.4: a scripted user, after its own alphabet-sort; and a server of tools."""

import random

import verifiers.v1 as vf


class TurnsData(vf.TaskData):
    turns: list[str]
    sums: list[int]


class TurnsTaskConfig(vf.TaskConfig):
    tools: bool = False


class Lookup(vf.Toolset[vf.ToolsetConfig]):
    @vf.tool
    async def look(self, word: str) -> str:
        """Look."""
        return word


class TurnsTask(vf.Task[TurnsData, vf.State, TurnsTaskConfig]):
    @classmethod
    def toolsets(cls, config):
        return [Lookup(vf.ToolsetConfig())] if config.tools else []

    @vf.reward(weight=1.0)
    async def running_sums(self, trace: vf.Trace) -> float:
        said = [(m.content or "").strip() for m in trace.assistant_messages]
        right = sum(a == str(b) for a, b in zip(said, self.data.sums, strict=False))
        return right / len(self.data.sums)


class TurnsConfig(vf.TasksetConfig):
    task: TurnsTaskConfig = TurnsTaskConfig()


class TurnsEnv(vf.SingleAgentEnv):
    async def run(self, task, agents):
        async with agents.agent.interaction(task) as interaction:
            for text in task.data.turns:
                if (await interaction.turn(text)).terminated:
                    break


class TurnsTaskset(vf.Taskset[TurnsTask, TurnsConfig]):
    INFINITE = True

    def load(self):
        rng = random.Random(7)
        while True:
            numbers = [rng.randint(0, 99) for _ in range(3)]
            turns = [f"Start with {numbers[0]}.", *(f"Add {n}." for n in numbers[1:])]
            sums = [sum(numbers[: i + 1]) for i in range(3)]
            yield TurnsTask(TurnsData(prompt=None, turns=turns, sums=sums), self.config.task)


__all__ = ["TurnsEnv", "TurnsTaskset"]
