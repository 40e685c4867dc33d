"""The corpus: every program is contained, none scores, none leaves anything behind."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from minirl.sandbox import ERRORS, Job, same_value
from tests.support.hostile_programs import CORPUS, Hostile
from tests.unit.sandbox.conftest import HONEST, INPUTS, LIMITS, Scene, patient, right

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
# The limits are 1 s; the rest is for a machine that is busy, and for memory that is freed.
CONTAINED_WITHIN_S = 15.0
UNBOTHERED = {"value", "runner", "source"}  # kinds that attack us; the rest attacks the machine


def grade(scene: Scene, hostile: Hostile, engine: str) -> set[str | None]:
    """Run it; its errors. None of its answers may be right, and an honest program still passes."""
    started = time.monotonic()
    (outcomes,) = scene.pool.run([scene.job(hostile)], engine)
    assert time.monotonic() - started < CONTAINED_WITHIN_S
    assert len(outcomes) == len(INPUTS)
    assert not any(same_value(o.value, right(n)) for o, n in zip(outcomes, INPUTS, strict=True))
    errors = {outcome.error for outcome in outcomes}
    assert errors <= {None, *ERRORS}
    honest = Job(HONEST, "solve", tuple((n,) for n in INPUTS), patient())
    assert [o.value for o in scene.pool.run([honest], engine)[0]] == [right(n) for n in INPUTS]
    return errors


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda h: f"{h.kind}: {h.name}")
def test_the_process_engine_contains(scene, hostile):
    errors = grade(scene, hostile, "process")
    if hostile.errors is not None:
        assert errors <= hostile.errors
    assert scene.strays() == []
    assert scene.litter() == []


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda h: f"{h.kind}: {h.name}")
def test_monty_contains(scene, hostile):
    grade(scene, hostile, "monty")
    assert scene.litter() == []


@pytest.mark.parametrize("hostile", [h for h in CORPUS if h.steals], ids=lambda h: h.name)
def test_the_thefts_succeed_where_nothing_confines_them(scene, hostile):
    """Else the corpus would prove nothing."""
    source = f"{scene.source(hostile)}\nprint(solve({INPUTS[0]}))"
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        timeout=30,
        close_fds=False,
        check=False,
    )
    assert done.stdout.strip() == str(right(INPUTS[0])), done.stderr


@pytest.mark.parametrize(
    "hostile", [h for h in CORPUS if h.steals or h.kind == "memory"], ids=lambda h: h.name
)
def test_the_limits_alone_contain(weak_scene, hostile):
    """Without the filter of system calls: as root a program is nobody, and can open nothing."""
    grade(weak_scene, hostile, "process")
    assert weak_scene.strays() == []


@pytest.fixture(scope="module")
def weak_scene(make_scene):
    return make_scene(filtered=False)


def test_many_at_once_do_not_disturb_each_other(scene):
    quick = [h for h in CORPUS if h.kind in UNBOTHERED and "time" not in (h.errors or ())][:40]
    honest = Job(HONEST, "solve", tuple((n,) for n in INPUTS), patient())
    jobs = [job for hostile in quick for job in (scene.job(hostile, LIMITS), honest)]
    outcomes = scene.pool.run(jobs, "auto")
    assert [[o.value for o in pair] for pair in outcomes[1::2]] == [
        [right(n) for n in INPUTS]
    ] * len(quick)
    assert not any(same_value(o.value, right(INPUTS[0])) for pair in outcomes[::2] for o in pair)
