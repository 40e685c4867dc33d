"""export.json and verify.json as `minirl export` leaves them, of files that were never written."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from minirl.rundir import RunDir, write_json
from minirl.stats import clustered_rate, paired_difference, ratio_estimate

SECONDS_SAID = "first at token 7 of text 0, after 'x': '\x1b[31m<b>|' in training, 'y' here"


def exported(**changes: Any) -> dict[str, Any]:
    def file(kind: str, number_format: str, size: int, base: str | None = None) -> dict[str, Any]:
        return {
            "kind": kind, "format": number_format, "bytes": size, "sha256": "0" * 64,
            "base_gguf": base, "made_by": "minirl",
        }  # fmt: skip

    files = {
        "adapter": file("adapter", "f32", 9_800_000),
        "merged": file("merged", "stored", 538_100_000),
        "sums-lora.gguf": file("gguf-lora", "f32", 9_830_000, "/home/me/.cache/gguf/base-f16.gguf"),
        "sums-f16.gguf": file("gguf", "f16", 271_000_000),
        "sums-q4_k_m.gguf": file("gguf", "q4_k_m", 105_000_000),
    }
    return {"adapter_sha256": "0" * 64, "model": "smollm2-135m", "files": files, **changes}


def verified() -> dict[str, Any]:
    """f16 passed, q4_k_m failed; the adapter is compared byte by byte; merged was left out."""
    trained = [(i % 4 > 0, 1) for i in range(200)]
    worse = [(s and i % 3 > 0, n) for i, (s, n) in enumerate(trained)]
    q4 = _record("gguf", worse, trained, same=180, kl=0.068)
    q4 |= {"passed": False, "failures": [SECONDS_SAID], "notes": ["tools are described otherwise"]}
    return {
        "reference": {
            "model": "smollm2-135m", "adapter_sha256": "0" * 64, "backend": "transformers",
            "dtype": "float32", "env": "arithmetic:2", "temperature": 0.0,
            "solved": asdict(clustered_rate(trained)), "called_tools": None,
            "tokens_per_second": 130.4,
        },
        "files": {
            "adapter": {
                "kind": "adapter", "sha256": "0" * 64, "passed": True, "failures": [], "notes": [],
            },
            "sums-lora.gguf": _record("gguf-lora", trained, trained, same=200, kl=1e-8),
            "sums-f16.gguf": _record("gguf", trained, trained, same=200, kl=5.6e-6),
            "sums-q4_k_m.gguf": q4,
        },
    }  # fmt: skip


def add_export(run: RunDir) -> None:
    """export.json and verify.json, where `minirl export` leaves them."""
    write_json(run.export / "export.json", exported())
    write_json(run.export / "verify.json", verified())


def _record(kind: str, solved: Any, trained: Any, *, same: int, kl: float) -> dict[str, Any]:
    sizes = [10.0] * 200
    kls = [kl * 10 * (0.9 + 0.2 * (i % 2)) for i in range(200)]
    return {
        "kind": kind,
        "sha256": "0" * 64,
        "passed": True,
        "failures": [],
        "notes": [],
        "distributions": {
            "positions": 2000,
            "top1": asdict(clustered_rate([(10 if i < same else 9, 10) for i in range(200)])),
            "kl": asdict(ratio_estimate(kls, sizes, seed=0)),
        },
        "answers": {
            "solved": asdict(clustered_rate(solved)),
            "difference": asdict(paired_difference(trained, solved, seed=0)),
            "tokens_per_second": 197.6,
        },
    }
