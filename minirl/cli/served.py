"""What `probe`, `eval` and `sample` share where the model is behind a server."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minirl.errors import ConfigError

if TYPE_CHECKING:
    from minirl.cli.session import Session
    from minirl.config import Recipe
    from minirl.endpoint import Cap, EndpointPolicy, Patience, Prices, Sampling, Server
    from minirl.report.console import Output
    from minirl.rundir import RunDir

PROBE_ANSWERS, EVAL_ANSWERS = "probe.answers.jsonl", "eval.answers.jsonl"


@dataclass(frozen=True, slots=True)
class Served:
    """A served model as the command line describes it."""

    server: Server
    concurrency: int
    choices: int
    patience: Patience
    cap: Cap
    prices: Prices | None

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe with the served model in the place of its own."""
        from minirl.config import change

        return change(recipe, {"model.name": self.server.model})

    def run_name(self, recipe: str) -> str:
        """A run's name for a recipe with this model."""
        slug = re.sub(r"[^a-z0-9.]+", "-", self.server.model.lower())[:60].strip("-.")
        return f"{recipe}-{slug or 'model'}"

    def policy(self, sampling: Sampling, journal: Path | None, console: Output) -> EndpointPolicy:
        """A policy that asks the server; says what should be known before it is asked."""
        from minirl.endpoint import EndpointPolicy, Journal

        kept = Journal(journal)
        server = self.server
        key = f", with the key in {server.key_from}" if server.key else ""
        console.say(f"asking {server.base} for {server.model}{key}")
        if server.exposes_key:
            console.say("warning: the key crosses the network in the clear; use https")
        if len(kept):
            done = kept.spent.describe(self.prices)
            console.say(f"{len(kept):,} completions are there already ({done})")
        return EndpointPolicy(
            server,
            sampling,
            journal=kept,
            concurrency=self.concurrency,
            choices=self.choices,
            patience=self.patience,
            cap=self.cap,
            prices=self.prices,
            notify=console.say,
        )


def served_model(
    endpoint: str | None,
    model: str | None,
    *,
    concurrency: int,
    choices: int,
    timeout: float,
    retries: int,
    max_requests: int | None,
    max_tokens_total: int | None,
    max_cost: float | None,
    price_in: float | None,
    price_out: float | None,
) -> Served | None:
    """The served model that the options name; None where they name none.

    Raises:
        ConfigError: an option lacks the one that it goes with.
    """
    limits = {
        "--model": model,
        "--max-requests": max_requests,
        "--max-tokens-total": max_tokens_total,
        "--max-cost": max_cost,
        "--price-in": price_in,
        "--price-out": price_out,
    }
    for option, value in (*limits.items(), ("--timeout", timeout)):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{option} must be a finite number", got=str(value))
    if endpoint is None:
        for option, value in limits.items():
            if value is not None:
                raise ConfigError(
                    f"{option} goes with --endpoint",
                    fix="add --endpoint URL"
                    + (", or --set model.name=NAME to load it here" if option == "--model" else ""),
                )
        return None
    if model is None:
        raise ConfigError(
            "--endpoint needs --model", fix="add --model NAME, as the server calls it"
        )
    if (price_in is None) != (price_out is None):
        raise ConfigError("a price needs both --price-in and --price-out")
    if max_cost is not None and price_in is None:
        raise ConfigError("--max-cost needs --price-in and --price-out")
    import os

    from minirl.endpoint import Cap, Patience, Prices, Server

    return Served(
        server=Server.at(endpoint, model, os.environ),
        concurrency=concurrency,
        choices=choices,
        patience=Patience(total=timeout, connect=min(10.0, timeout), retries=retries),
        cap=Cap(max_requests, max_tokens_total, max_cost),
        prices=None if price_in is None or price_out is None else Prices(price_in, price_out),
    )


@contextmanager
def answers_kept(policy: EndpointPolicy, console: Output) -> Iterator[None]:
    """Say what was spent; and where the server, or the cap, ends the work, how to go on."""
    from minirl.endpoint import CapReached
    from minirl.errors import EndpointError

    kept = "what was answered is kept, and the same command goes on from there"
    try:
        yield
    except CapReached as reached:
        reached.fix = f"{kept}, with a larger --max-requests, --max-tokens-total or --max-cost"
        raise
    except EndpointError as error:
        error.fix = f"{error.fix}; {kept}" if error.fix else kept
        raise
    console.say(f"the server answered {policy.spent.describe(policy.prices)}")


def watched(policy: EndpointPolicy | None, update: Callable[[str], None]) -> Callable[[str], str]:
    """Show what a server has been paid after each answer.

    Args:
        update: shows a note.

    Returns:
        How to put the work's pace before it: a function from that to the whole note.
    """
    if policy is None:
        return lambda pace: pace
    began, before, shown = time.monotonic(), policy.spent.requests, [""]

    def note() -> str:
        rate = (policy.spent.requests - before) / max(time.monotonic() - began, 1e-9)
        pace = f"{shown[0]}, " if shown[0] else ""
        return f"{pace}{rate:.1f} requests/s, {policy.spent.describe(policy.prices)}"

    def keep(pace: str) -> str:
        shown[0] = pace
        return note()

    policy.on_answer = lambda _: update(note())
    return keep


def endpoint_record(policy: EndpointPolicy) -> dict[str, Any]:
    """Who was asked, and in what it was not what the recipe asks for."""
    return {
        "url": policy.server.base,
        "model": policy.server.model,
        "left_out": sorted(policy.dialect.left_out),
        "tokens_estimated": policy.estimates,
    }


def describe_client(session: Session, served: Served) -> dict[str, Any]:
    """environment.json of a run whose model is elsewhere."""
    import importlib.metadata
    import platform

    import minirl
    from minirl.cli.session import git_state

    return {
        "seed": session.recipe.seed,
        "settled": {},
        "env": session.env.label,
        "endpoint": {"url": served.server.base, "model": served.server.model},
        "versions": {
            "minirl": minirl.__version__,
            "httpx": importlib.metadata.version("httpx"),
        },
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git": git_state(),
    }


def same_source(run: RunDir, served: Served | None) -> None:
    """Check that a probe in progress is gone on with by what it was begun with.

    Raises:
        ConfigError: it was a server, and now is none, or the other way round.
    """
    asked = (run.path / PROBE_ANSWERS).exists()
    if run.probe_journal.exists() and asked != (served is not None):
        by = "a server" if asked else "a model that was loaded here"
        raise ConfigError(
            f"{run.path}: its probe was begun with {by}",
            fix="go on with that, --force to start anew, or choose another --name",
        )
