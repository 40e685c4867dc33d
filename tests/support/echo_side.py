"""A side of a benchmark that does nothing: it reports the step that its order holds, each time.

The order's ``dies`` makes it fail before it is ready. It prints where a library might.
"""

from __future__ import annotations

from benchmarks.worker import Step, Worker

if __name__ == "__main__":
    worker = Worker()
    if "dies" in worker.order:
        raise SystemExit(worker.order["dies"])
    print("a library's chatter")
    worker.ready(device="cpu", dtype="float32")
    while True:
        worker.wait()
        print("more of it")
        worker.report(Step(**worker.order["step"]))
