"""The terminal: a line a training step, evaluation tables, rollouts."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from minirl.report.text import duration, sparkline, visible
from minirl.stats import wilson_interval

WINDOW = 5  # steps that the shown solved rate pools, so that its interval says something
TREND = 12  # steps in the sparkline


class Output(Console):
    """A console that survives its reader."""

    def say(self, text: str) -> None:
        """Print a line for a person; nothing in it is read as markup or as a terminal command."""
        self.print(Text(visible(text)), soft_wrap=True)

    def on_broken_pipe(self) -> None:
        """Progress that nobody reads any more must not end a training; results may end quietly."""
        if not self.stderr:
            raise BrokenPipeError
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def results() -> Output:
    """The console of results: stdout."""
    return Output()


def notices() -> Output:
    """The console of progress: stderr, so that stdout holds results alone."""
    return Output(stderr=True)


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A bar at the foot of the terminal; nothing where the output is not a terminal."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        yield progress


class TrainingView:
    """Prints a line for each step of training."""

    HEADER = (
        " step   reward  trend         solved, last 5 steps       signal   tok/s   s/step   left"
    )

    def __init__(self, console: Console, steps: int, progress: Progress) -> None:
        self._console = console
        self._steps = steps
        self._progress = progress
        self._bar = progress.add_task("step", total=steps, note="")
        self._rewards: deque[float] = deque(maxlen=TREND)
        self._solved: deque[tuple[int, int]] = deque(maxlen=WINDOW)
        self._seconds: deque[float] = deque(maxlen=10)
        self._started = False

    def stopping(self) -> None:
        """Say that Ctrl-C was heard."""
        note = "stopping after this step; Ctrl-C again stops at once, from the last checkpoint"
        self._console.print(Text(note), soft_wrap=True)

    def rollouts(self, done: int, total: int) -> None:
        """Show how far the step in progress has played."""
        self._progress.update(self._bar, note=f"playing {done}/{total}")

    def step(self, record: Mapping[str, Any]) -> None:
        """Show one record of metrics.jsonl."""
        if not self._started:
            self._console.print(Text(self.HEADER, style="bold"), soft_wrap=True)
            self._started = True
        self._console.print(Text(self._line(record)), soft_wrap=True)
        self._progress.update(self._bar, completed=record["step"], note="")

    def _line(self, record: Mapping[str, Any]) -> str:
        n = int(record["solved_n"])
        self._rewards.append(float(record["reward"]))
        self._solved.append((round(record["solved"] * n), n))
        self._seconds.append(float(record["time"]["step"]))
        k, total = (sum(column) for column in zip(*self._solved, strict=True))
        low, high = wilson_interval(k, total)
        pace = sum(self._seconds) / len(self._seconds)
        left = duration(pace * (self._steps - record["step"]))
        rate = record["time"]["tokens_per_second"]
        return (
            f"{record['step']:>5}   {record['reward']:>6.3f}  "
            f"{sparkline(list(self._rewards)):<{TREND}}  "
            f"{100 * k / total:>4.0f} % [{100 * low:>3.0f}, {100 * high:>3.0f}] (n = {total:<4})   "
            f"{100 * record['signal']:>4.0f} %   {rate or 0:>5.0f}   "
            f"{self._seconds[-1]:>6.1f}   {left}"
        )


def evaluation_table(record: Mapping[str, Any]) -> Table:
    """eval.json as a table: base against tuned, or a served model by itself. It fits a terminal of
    80 columns.
    """
    table = Table(title=f"{record['env']}, held-out tasks, T = {record['temperature']:g}")
    sides = [record["base"]]
    names = ["base", "tuned"]
    if record["tuned"]:
        sides.append(record["tuned"])
    else:
        names = [visible(record["model"], limit=60)]
    for column in ("", *names):
        table.add_column(Text(column), no_wrap=True)
    table.add_row("solved", *(rate_text(s["solved"]) for s in sides), style="bold")
    if all(s["lenient"] for s in sides):
        table.add_row("lenient", *(rate_text(s["lenient"]) for s in sides))
    table.add_row("cut off", *(f"{100 * s['truncated']:.1f} %" for s in sides))
    table.add_row("tokens", *(f"{s['mean_tokens']:.1f}" for s in sides))
    return table


def evaluation_verdict(record: Mapping[str, Any]) -> str:
    """The paired difference in one sentence."""
    d = record["difference"]
    text = (
        f"tuned - base: {100 * d['value']:+.1f} points "
        f"[{100 * d['low']:+.1f}, {100 * d['high']:+.1f}], paired over {d['tasks']} tasks"
    )
    if record["mcnemar_p"] is not None:
        text += (
            f"; {record['gained']} gained, {record['lost']} lost "
            f"(McNemar p = {record['mcnemar_p']:.2g})"
        )
    return text


def rate_text(rate: Mapping[str, Any]) -> str:
    """A rate of eval.json with its interval and n."""
    return (
        f"{100 * rate['value']:.1f} % [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}] "
        f"(n = {rate['n']})"
    )


def rollout_text(record: Mapping[str, Any]) -> Text:
    """One rollout with its score, model text made visible and never read as markup."""
    out = Text()
    out.append(f"{record['task']}\n", style="bold")
    for message in [*record["prompt"], *record["messages"]]:
        out.append(f"{message['role']:>9} | ", style="dim")
        body = visible(message["content"]).replace("\n", "\n" + " " * 9 + " | ")
        out.append(body + "\n", style="cyan" if message["role"] == "assistant" else "")
    parts = "".join(f"{k} {v:g}, " for k, v in record["parts"].items()).rstrip(", ")
    parts += "; " if parts else ""
    verdict = "solved" if record["solved"] else "not solved"
    out.append(
        f"    score | {record['value']:g}, {verdict}: {visible(record['reason'])} "
        f"({parts}{record['tokens']} tokens, stop: {record['stop']})\n",
        style="green" if record["solved"] else "red",
    )
    return out
