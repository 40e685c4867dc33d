"""Quantizes one file; :mod:`minirl.export.quantize.run` runs this as a child.

Arguments: which library (``ggml`` or ``llama_cpp``), the GGUF to read, the one to write, the kind.
Standard output carries a line of JSON for each thing to tell.
"""

from __future__ import annotations

import os
import sys
from errno import ENOSPC
from importlib import import_module
from pathlib import Path
from typing import Any

from minirl.errors import ModelError
from minirl.export.quantize.mixture import QUANTIZATIONS
from minirl.export.telephone import telephone


def main(library: str, source: str, out: str, kind: str) -> int:
    tell = telephone()
    try:
        if library == "llama_cpp":
            return _with_llama_cpp(Path(source), Path(out), kind)
        from minirl.export.quantize.ggml import quantize_file

        def report(done: int, total: int) -> None:
            tell({"done": done, "total": total})

        quantize_file(Path(source), Path(out), kind, report)
    except ModelError as error:
        parts = {"message": error.message, "expected": error.expected, "got": error.got}
        tell({"problem": "known", **parts, "fix": error.fix})
        return 1
    except OSError as error:
        if error.errno == ENOSPC:
            tell({"problem": "disk"})
        raise
    return 0


def _with_llama_cpp(source: Path, out: Path, kind: str) -> int:
    import ctypes

    llama_cpp: Any = import_module("llama_cpp")
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = QUANTIZATIONS[kind].file_type
    return int(
        llama_cpp.llama_model_quantize(
            os.fsencode(source), os.fsencode(out), ctypes.byref(parameters)
        )
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
