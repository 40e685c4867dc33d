"""`minirl doctor` on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from minirl.report.text import visible

_STYLE = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}
NOT_NEEDED = "not needed"
_LEVELS = ("error", "warning", "note")


def show_doctor(console: Console, record: Mapping[str, Any]) -> None:
    """Print what `minirl doctor` found; the record is what `--json` prints."""
    _pairs(console, f"minirl {record['minirl']} on this machine", machine_rows(record))
    console.print(Text("\nPackages", style="bold"))
    console.print(package_table(record["packages"]))
    idle = [p["package"] for p in record["packages"] if p["verdict"] == NOT_NEEDED]
    if idle:
        text = f"  needed with an NVIDIA card only: {', '.join(idle)}"
        console.print(Text(text, style="dim"), soft_wrap=True)
    tools = [(name, found or "missing") for name, found in record["export"].items()]
    _pairs(console, "What minirl export uses", tools)
    if record["choice"]:
        _pairs(
            console, f"What runs {record['recipe'] or 'a recipe'}", choice_rows(record["choice"])
        )
    if record["checks"]:
        console.print(Text("\nTried out", style="bold"))
        for check in record["checks"]:
            _line(console, check["level"], f"{check['what']} ({check['seconds']:.1f} s)")
    told = [*record["findings"], *(c for c in record["checks"] if c["level"] != "ok")]
    if told:
        console.print(Text("\nFindings", style="bold"))
    for finding in sorted(told, key=lambda f: _LEVELS.index(f["level"])):
        _line(console, finding["level"], finding["what"])
        console.print(Text(f"{'':>10}fix: {visible(finding['fix'])}"), soft_wrap=True)
    console.print(_verdict(record, told))


def machine_rows(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the machine is, a row each."""
    m = record["machine"]
    rows = [
        ("system", f"{m['system']}, Python {m['python']}"),
        ("processors", f"{m['cores']}"),
        ("memory", f"{_gb(m['ram'])}"),
    ]
    for i, c in enumerate(m["cards"]):
        numbers = "bf16 and fp16" if c["bf16"] else "fp16, no bf16"
        capability = ".".join(map(str, c["capability"]))
        rows.append((f"card {i}", f"{c['name']}, compute capability {capability} ({numbers})"))
        rows.append(("", f"{_gb(c['memory'])}, {_gb(c['free'])} of it free"))
    if not m["cards"]:
        unused = ", ".join(m["present"])
        rows.append(("card", f"{unused}, not used" if unused else "none"))
    rows.append(("driver", m["driver"] or "none"))
    built = f"CUDA {m['torch_cuda']}" if m["torch_cuda"] else "the CPU"
    rows.append(("torch", f"built for {'ROCm ' + m['torch_hip'] if m['torch_hip'] else built}"))
    rows += [
        (f"disk for {d['what']}", f"{_gb(d['free'])} free, {d['path']}") for d in record["disk"]
    ]
    return rows


def choice_rows(choice: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What will be used, a row each."""
    precision = choice["precision"]
    engines = {
        "torch": "minirl's own sampler",
        "generate": "unsloth's own generation",
        "vllm": "vLLM" + (", asleep while training (standby)" if choice["standby"] else ""),
    }
    return [
        ("backend", f"{choice['backend']}, on {choice['device']}"),
        ("precision", "measured when the model loads" if precision == "auto" else precision),
        ("attention", choice["attention"]),
        ("rollouts", engines[choice["engine"]]),
    ]


def package_table(packages: Sequence[Mapping[str, Any]]) -> Table:
    """Installed against supported versions."""
    table = Table("package", "installed", "supported", "verdict", box=None, padding=(0, 2))
    for p in packages:
        if p["verdict"] == NOT_NEEDED:
            continue
        style = {"ok": "", "not installed": "dim"}.get(p["verdict"], "yellow")
        row = (p["package"], p["installed"] or "-", p["supported"] or "any", p["verdict"])
        table.add_row(*(Text(visible(cell)) for cell in row), style=style)
    return table


def _pairs(console: Console, title: str, rows: Sequence[tuple[str, str]]) -> None:
    console.print(Text(f"\n{visible(title)}", style="bold"))
    for name, value in rows:
        console.print(Text(f"  {name:<22}{visible(value)}"), soft_wrap=True)


def _line(console: Console, level: str, text: str) -> None:
    line = Text(f"  {level:<8}", style=_STYLE[level])
    console.print(line.append(visible(text), style="default"), soft_wrap=True)


def _verdict(record: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> Text:
    if record["ready"]:
        untried = (
            "" if record["checks"] else ", as far as looking tells (--quick tries nothing out)"
        )
        return Text(f"\nReady to train{untried}.", style="green")
    errors = sum(f["level"] == "error" for f in told)
    return Text(f"\nNot ready: {errors} error{'s' if errors != 1 else ''}.", style="bold red")


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
