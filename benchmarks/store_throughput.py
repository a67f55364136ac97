"""Bytes a second to and from a store, whole processes, beside the store's own best client in the same run."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Final

from benchmarks.measure import Cost, RunFailed, measure
from benchmarks.store_client import WORKERS
from layercache_ci.settings import S3Options
from layercache_ci.store import StoreChoice
from tests.fakes.github_cache import serve
from tests.lab.npm import installed
from tests.lab.paths import CHECKOUT, LabPaths
from tests.lab.programs import find_program
from tests.lab.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, serve_s3

SMALLEST: Final = 1_000_000
LARGEST: Final = 200_000_000
BLOBS: Final = "blobs"
SCOPE: Final = "refs/heads/main"

Client = Callable[[str, Path], tuple[Sequence[str], Mapping[str, str]]]
"""For `save` or `restore` and the folder of the files: a command, and what stands in its environment besides."""


@dataclass(slots=True)
class Transfer:
    """What both clients took for the same bytes, in each round; `peak` is our memory, in bytes."""

    store: str
    verb: str
    peer: str
    size: int
    ours: list[Cost] = field(default_factory=list)
    theirs: list[Cost] = field(default_factory=list)
    peak: int = 0

    @property
    def row(self) -> str:
        costs = (self.ours, self.theirs)
        ours, theirs = (self.size / 1e6 / median(cost.wall for cost in each) for each in costs)
        speeds = f"{ours:.0f} | {theirs:.0f} | {ours / theirs:.2f}"
        seconds = " | ".join(f"{median(cost.cpu for cost in each):.1f}" for each in costs)
        return f"| {self.store} | {self.verb} | {self.peer} | {speeds} | {seconds} | {self.peak / 1e6:.0f} |"


def table(transfers: Sequence[Transfer]) -> str:
    lines = [
        "| store | | best client | layercache, MB/s | that client's | ratio | CPU, s | that client's | memory, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(each.row for each in transfers)])


def write_blobs(folder: Path, count: int) -> int:
    """Files that can't be compressed, as layers can't once they are zstd, of sizes from SMALLEST to LARGEST in equal
    ratios; their bytes in all."""
    folder.mkdir()
    for number in range(count):
        size = round(SMALLEST * (LARGEST / SMALLEST) ** (number / max(1, count - 1)))
        (folder / f"{number:03}").write_bytes(os.urandom(size))
    return sum(path.stat().st_size for path in folder.iterdir())


def measured(scratch: Path, stores: Sequence[str], count: int, rounds: int) -> Iterator[Transfer]:
    """Each of the STORES that are named, saving and restoring; both clients in turn, each round on an empty store. The
    server is a new one each time: who comes first, and finds it cold, takes turns too."""
    source = scratch / BLOBS
    size = write_blobs(source, count)
    for name, peer, clients in (STORES[store] for store in stores):
        saving = Transfer(name, "save", peer, size)
        restoring = Transfer(name, "restore", peer, size)
        for number in range(rounds):
            folder = scratch / f"round-{number}"
            folder.mkdir()
            with clients(folder) as (ours, theirs):
                turns = [
                    (ours, saving.ours, restoring.ours),
                    (theirs, saving.theirs, restoring.theirs),
                ]
                for client, of_saving, of_restoring in reversed(turns) if number % 2 else turns:
                    cost, saved_peak = run(client, "save", source, folder)
                    of_saving.append(cost)
                    cost, restored_peak = run(client, "restore", folder / "restored", folder)
                    of_restoring.append(cost)
                    if client is ours:
                        saving.peak = max(saving.peak, saved_peak)
                        restoring.peak = max(restoring.peak, restored_peak)
                    check(folder, size)
            shutil.rmtree(folder)
        yield from (saving, restoring)


def run(client: Client, verb: str, files: Path, folder: Path) -> tuple[Cost, int]:
    """What it cost, and what stands on the last line of the output where that is a number."""
    if verb == "restore":
        files.mkdir()
    argv, environment = client(verb, files)
    log = folder / "log"
    # an installed layercache is compiled, and does not do that anew each time
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    cost = measure(argv, {**inherited, **environment}, log)
    last = (log.read_text().split() or [""])[-1]
    return cost, int(last) if last.isdigit() else 0


def check(folder: Path, size: int) -> None:
    """The client brought everything; makes room for the other. Raises RunFailed."""
    restored = folder / "restored"
    found = sum(path.stat().st_size for path in restored.rglob("*") if path.is_file())
    shutil.rmtree(restored)
    if found != size:
        raise RunFailed(f"{found} of {size} bytes were restored: {(folder / 'log').read_text()[-2000:]}")


def layercache(choice: StoreChoice, environment: Mapping[str, str]) -> Client:
    def command(verb: str, files: Path) -> tuple[Sequence[str], Mapping[str, str]]:
        words = [sys.executable, "-m", "benchmarks.store_client", verb, json.dumps(choice.to_json()), str(files)]
        return words, {**environment, "PYTHONPATH": str(CHECKOUT)}

    return command


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[tuple[Client, Client]]:
    """MinIO, and rclone."""
    rclone = find_program("rclone", LabPaths.here())
    if rclone is None:
        raise RunFailed("rclone is not in the lab: make lab sets it up")
    with serve_s3("minio") as server:
        keys = S3Options(endpoint=server.url, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
        choice = StoreChoice(f"s3://{BUCKET}/ours", folder / "cache", (SCOPE,), SCOPE, s3=keys)
        remote = {"TYPE": "s3", "PROVIDER": "Minio", "ENDPOINT": server.url, "NO_CHECK_BUCKET": "true"}
        remote |= {"ACCESS_KEY_ID": ACCESS_KEY, "SECRET_ACCESS_KEY": SECRET_KEY}
        environment = {f"RCLONE_CONFIG_LAB_{name}": value for name, value in remote.items()}

        def command(verb: str, files: Path) -> tuple[Sequence[str], Mapping[str, str]]:
            ends = [str(files), f"lab:{BUCKET}/theirs"]
            how = [f"--transfers={WORKERS}", *([] if verb == "save" else ["--order-by=size,descending"])]
            words = [rclone, "copy", *how, *(ends if verb == "save" else reversed(ends))]
            return words, environment

        yield layercache(choice, {}), command


@contextlib.contextmanager
def github(version: int, folder: Path) -> Iterator[tuple[Client, Client]]:
    """The server of the tests, and @actions/cache, which packs and compresses the folder first."""
    peer = CHECKOUT / "tests/integration/store/github/actions_cache"
    script = shutil.copy(peer / "client.mjs", installed(peer))
    with served(version) as environment:
        choice = StoreChoice("github", folder / "cache", (SCOPE,), SCOPE)

        def command(verb: str, files: Path) -> tuple[Sequence[str], Mapping[str, str]]:
            # what is restored lands under the name that was saved
            workspace = files.parent if verb == "save" else files
            variables = {**environment, "GITHUB_WORKSPACE": str(workspace), "RUNNER_TEMP": str(folder)}
            return ["env", f"--chdir={workspace}", "node", str(script), verb, "key", BLOBS], variables

        yield layercache(choice, environment), command


@contextlib.contextmanager
def served(version: int) -> Iterator[Mapping[str, str]]:
    """In a process of its own, which has its own lock and its own memory."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, version))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send(None)
        process.join()


def _serve(pipe: Connection, version: int) -> None:
    with serve() as server:
        pipe.send(server.environment(version=version))
        pipe.recv()


def _github_v2(folder: Path) -> contextlib.AbstractContextManager[tuple[Client, Client]]:
    return github(2, folder)


Clients = Callable[[Path], contextlib.AbstractContextManager[tuple[Client, Client]]]
STORES: Final[Mapping[str, tuple[str, str, Clients]]] = MappingProxyType(
    {"s3": ("S3 (MinIO)", "rclone", s3), "github": ("GitHub v2", "@actions/cache", _github_v2)}
)
"""What the table calls each, and its best client."""
