"""The measurements as Markdown, and their place in docs/performance.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.measure import Cost

BEGIN: Final = "<!-- make bench: begin -->"
END: Final = "<!-- make bench: end -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to build, measured several times."""

    engine: str
    what: str
    costs: tuple[Cost, ...]
    rebuilt: tuple[int, ...]
    """How many steps each run built anew."""
    cpu: bool = True
    """Whether its CPU says anything: the work of a daemon is not in it."""


@dataclass(frozen=True, slots=True)
class Cold:
    """One build with an empty cache, beside the plain command. Seconds."""

    engine: str
    plain: float
    wall: float
    before: float
    """Of ours, before the engine starts."""
    after: float
    """Of ours, after the engine ends, the save not counted: the image is ready, only the process still runs."""
    save: float


def warm_table(rows: Sequence[Row], baselines: Mapping[str, str]) -> str:
    """Medians with ranges; ratios against the row of the same engine that `baselines` names."""
    lines = [
        "| engine | what | wall, s | CPU, s | wall | CPU | steps built |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        base = next(other for other in rows if other.engine == row.engine and other.what == baselines[row.engine])
        wall, cpu = _median(row, "wall"), _median(row, "cpu")
        built = sorted(set(row.rebuilt))
        spent, share = (f"{cpu:.1f}", f"{cpu / _median(base, 'cpu'):.2f}") if row.cpu else ("-", "-")
        lines.append(
            f"| {row.engine} | {row.what} | {wall:.1f} ({_range(row)}) | {spent} "
            f"| {wall / _median(base, 'wall'):.2f} | {share} | {', '.join(map(str, built))} |"
        )
    return "\n".join(lines)


def cold_table(rows: Sequence[Cold]) -> str:
    """A line for each engine."""
    lines = [
        "| engine | plain command, s | layercache, s | before the engine, s | after it, s | the save, s |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.engine} | {row.plain:.1f} | {row.wall:.1f} | {row.before:.2f} | {row.after:.2f} | {row.save:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _median(row: Row, what: str) -> float:
    return float(statistics.median(getattr(cost, what) for cost in row.costs))


def _range(row: Row) -> str:
    walls = [cost.wall for cost in row.costs]
    return f"{min(walls):.1f}-{max(walls):.1f}"


def machine(rounds: int) -> str:
    """A line that says where and when it was measured."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    day = dt.datetime.now(dt.UTC).date()
    return (
        f"{day}: {os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}; medians (ranges) of {rounds} rounds, run in turn; "
        f"load average at the end {os.getloadavg()[2]:.1f}."
    )


def write(document: Path, text: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Puts text between the markers of the document, which gets them when it has none."""
    begin, end = marks
    old = document.read_text() if document.is_file() else "# Performance\n"
    if begin not in old:
        old = f"{old.rstrip()}\n\n{begin}\n{end}\n"
    head, _, rest = old.partition(begin)
    tail = rest.partition(end)[2]
    document.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")
