"""The solve that exports a finished build's cache: everything in it is a hit, or it is stopped."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from layercache_ci.engines.buildkit.cacheconfig import CacheConfig
from layercache_ci.engines.buildkit.cachemanifest import RawDescriptor, descriptors_of
from layercache_ci.engines.buildkit.metadata import ALL_OF_IT
from layercache_ci.engines.buildkit.progress import Progress, SeenStep
from layercache_ci.engines.buildkit.provenance import Provenance
from layercache_ci.engines.buildkit.records import diff_id
from layercache_ci.engines.buildkit.transport import Exported
from layercache_ci.errors import CacheError

PIECE: Final = 1 << 16
MOMENTS: Final = 10.0
"""Seconds, where the machine has much else to do: a lookup that was taken for work would cost a save."""
SILENCE: Final = 3600.0
"""Seconds after which an engine that says nothing is taken for stuck. It says when a layer begins and when it ends, and
one of many gigabytes takes its time to be compressed and sent."""


@dataclass(frozen=True, slots=True)
class Export:
    """One export: BuildKit's cache config with the descriptors of its blobs, and what says whose steps they are."""

    config: CacheConfig
    descriptors: Mapping[str, RawDescriptor]
    steps: tuple[SeenStep, ...]
    provenance: Provenance


def solve(
    words: Sequence[str], environment: Mapping[str, str], *, given_up: Callable[[], bool] = lambda: False
) -> tuple[SeenStep, ...]:
    """Run an export to its end. Raises CacheError where it fails, gets stuck or is given up, or where a step would run
    again: what it would run on is no longer what was built."""
    seen = Progress()
    heard = time.monotonic()
    said: deque[str] = deque(maxlen=5)
    with subprocess.Popen(
        words,
        env={**environment, **ALL_OF_IT},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        close_fds=False,  # a secret may come by a descriptor that we were given
        process_group=0,
    ) as process:
        try:
            watch = _Watch(seen)
            for line in _lines(process):
                heard = time.monotonic() if line else heard
                if given_up():
                    raise CacheError("the export was given up")
                if time.monotonic() - heard > SILENCE:
                    raise CacheError(f"the engine said nothing of its export for {SILENCE:.0f} s")
                said.append(line.strip()[:300])
                seen.feed(line)
                if running := watch.running():
                    raise CacheError(f"step {running} would have run again, since what it reads has changed")
            code = process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # docker, and the plugin that it started
    if code:
        last = next((line for line in reversed(said) if line and not line.startswith("{")), f"exit code {code}")
        raise CacheError(f"the engine's cache can't be exported: {last}")
    ran = next((step for step in seen.steps() if step.state == "ran" and not step.text.startswith("FROM ")), None)
    if ran is not None:
        where = f"{ran.stage or ''} {ran.number}/{ran.total}".strip()
        raise CacheError(f"step [{where}] ran again, since what it reads has changed")
    return seen.steps()


@dataclass(slots=True)
class _Watch:
    """Tells a RUN that is at work from one whose keys are being looked up, which takes moments."""

    seen: Progress
    _since: dict[str, float] = field(default_factory=dict)

    def running(self) -> str | None:
        now = time.monotonic()
        for vertex in self.seen.vertices.values():
            at_work = vertex.runs and vertex.completed is None and not vertex.cached and "] RUN " in vertex.name
            if not at_work:
                self._since.pop(vertex.digest, None)
            elif now - self._since.setdefault(vertex.digest, now) > MOMENTS:
                # not the text: it may hold the value of a build argument
                return f"{vertex.name.partition(']')[0]}]"
        return None


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Lines of its standard error as they come, and an empty one each second in which none does."""
    source = process.stderr
    if source is None:
        return
    rest = b""
    while True:
        ready, _, _ = select.select([source], [], [], 1.0)
        if not ready:
            yield ""
            continue
        piece = os.read(source.fileno(), PIECE)
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
        if not piece:
            yield rest.decode("utf-8", "replace")
            return


def in_one_form(export: Export, known: Mapping[str, RawDescriptor]) -> Export:
    """The export with one blob for each tar, that of the longest result where there are several, and the provenance in
    the same words: that names each layer by the blob that was made first, which is not the one that was exported. What
    its tar is, `known` says by its digest. Raises CacheError where a layer has no diff ID."""
    results = [chain for index in range(len(export.config.records)) for chain in export.config.results(index)]
    results.sort(key=len, reverse=True)
    blobs = (blob for chain in (*results, export.descriptors) for blob in chain if blob in export.descriptors)
    by_tar: dict[str, str] = {}
    for blob in blobs:
        by_tar.setdefault(diff_id(export.descriptors[blob]), blob)
    tars = {blob: diff_id(raw) for blob, raw in {**known, **export.descriptors}.items()}
    names = {blob: by_tar[tar] for blob, tar in tars.items() if by_tar.get(tar, blob) != blob}
    return replace(
        export,
        config=export.config.renamed(names),
        descriptors={blob: raw for blob, raw in export.descriptors.items() if blob not in names},
        provenance=export.provenance.renamed(names),
    )


def read_export(exported: Exported, metadata: Path, steps: tuple[SeenStep, ...]) -> Export:
    """What a solve left. Raises CacheError where it can't be read."""
    try:
        config = CacheConfig.from_json(json.loads(exported.config))
        provenance = Provenance.from_metadata(json.loads(metadata.read_bytes()))
    except (OSError, ValueError) as error:
        raise CacheError(f"the engine's export can't be read: {error}") from error
    return Export(config, descriptors_of(exported.manifest), steps, provenance)
