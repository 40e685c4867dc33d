"""How many programs a second the sandbox grades: ``python -m benchmarks.sandbox``.

A grading is one honest program on five inputs. Rounds of each engine alternate, and the spread is
that of the rounds: lowest, median, highest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

from minirl.sandbox import Engine, Job, Pool

PROGRAMS = (
    "def f(x):\n    return x * 3 + 2",
    "def f(x):\n    return [i * i for i in range(x) if i % 2 == 0]",
    "def f(x):\n    t = 0\n    while x:\n        t += x % 10\n        x //= 10\n    return t",
    "def f(x):\n    d = {}\n    for c in str(x) * 5:\n        d[c] = d.get(c, 0) + 1\n    return d",
    "def f(x):\n    a, b = 0, 1\n    for _ in range(x):\n        a, b = b, a + b\n    return a",
)
INPUTS = ((3,), (10,), (41,), (7,), (23,))
NEEDED: dict[Engine, int] = {"monty": 200, "auto": 200, "process": 25}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gradings", type=int, default=300, help="gradings a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    jobs = [Job(PROGRAMS[i % len(PROGRAMS)], "f", INPUTS) for i in range(options.gradings)]
    rates: dict[Engine, list[float]] = {engine: [] for engine in NEEDED}
    pool = Pool()
    try:
        for engine in rates:
            pool.run(jobs[:10], engine)  # the processes start
        for _ in range(options.rounds):
            for engine, measured in rates.items():
                started = time.perf_counter()
                outcomes = pool.run(jobs, engine)
                measured.append(len(jobs) / (time.perf_counter() - started))
                assert all(outcome.error is None for row in outcomes for outcome in row)
    finally:
        pool.close()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores (load {load:.1f}), {options.rounds} rounds of n = {len(jobs)}")
    for engine, measured in rates.items():
        low, high, median = min(measured), max(measured), statistics.median(measured)
        needed = f"needed: {NEEDED[engine]}"
        print(f"{engine:<8} {median:7.0f} gradings/s  [{low:.0f}, {high:.0f}]  {needed}")


if __name__ == "__main__":
    main()
