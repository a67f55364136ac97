"""A build after a source change, its cache and its base image behind a slow link, beside the engines' own caches.

All caches are filled once, while the link is fast; then each round runs every way in turn, each on an engine that has
never built anything.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.buildah import BuildahBench
from benchmarks.buildkit import BuildKitBench
from benchmarks.slow_link import Exchange, SlowLink, slow_link
from tests.e2e.store_sites import DEFAULT
from tests.fakes.github_cache import serve
from tests.lab.lab import Lab
from tests.lab.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, serve_s3

BUILDKIT: Final = ("remote", "docker-containerd")
ENGINES: Final = (*BUILDKIT, "buildah-1.28", "buildah-sid")


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are behind the link, for whoever builds."""

    link: SlowLink
    registry: str
    s3: str
    github: str
    token: str


@dataclass(frozen=True, slots=True)
class Built:
    """One run. Seconds; `waited` is what the command took without the save."""

    wall: float
    waited: float
    steps: int
    """Of them were built anew."""


@dataclass(frozen=True, slots=True)
class Way:
    """`run` builds with that change."""

    name: str
    run: Callable[[str], Built]


@dataclass(slots=True)
class Measured:
    engine: str
    way: str
    runs: list[Built] = field(default_factory=list)
    exchanges: list[Sequence[Exchange]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return median(run.wall for run in self.runs)

    def row(self, best: float) -> str:
        walls = [run.wall for run in self.runs]
        waited = median(run.waited for run in self.runs)
        requests = median(len(seen) for seen in self.exchanges)
        received = median(sum(each.received for each in seen) for seen in self.exchanges)
        steps = ", ".join(str(steps) for steps in sorted({run.steps for run in self.runs}))
        numbers = f"{self.seconds:.1f} ({min(walls):.1f}-{max(walls):.1f}) | {waited:.1f} | {self.seconds / best:.2f}"
        return f"| {self.engine} | {self.way} | {numbers} | {requests:.0f} | {received / 1e6:.0f} | {steps} |"


def table(measured: Sequence[Measured]) -> str:
    """Ratios to the best of the engine's own caches."""
    lines = [
        "| engine | what | wall, s | without the save, s | to the best other | requests | MB received | steps built |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in measured:
        others = [other.seconds for other in measured if other.engine == each.engine and "layercache" not in other.way]
        lines.append(each.row(min(others)))
    return "\n".join(lines)


def measured(lab: Lab, engines: Sequence[str], rounds: int, logs: Path | None = None) -> Iterator[Measured]:
    """Every way of every engine; what passed the link is written into the folder `logs`. Raises RunFailed."""
    with servers(lab) as places:
        slow = replace(lab, registry=places.registry)
        for engine in engines:
            found = [(way, Measured(engine, way.name)) for way in ways(slow, engine, places)]
            places.link.set(slow=True)
            for number in range(rounds):
                at = number % len(found)
                for way, runs in (*found[at:], *found[:at]):  # another one first in each round
                    places.link.log()
                    runs.runs.append(way.run(f"{way.name} {number}"))
                    print(f"{engine}, round {number + 1}: {way.name} {runs.runs[-1].wall:.1f} s", flush=True)
                    runs.exchanges.append(places.link.log())
                    if logs is not None:
                        write_log(logs / f"{engine} {way.name.replace('/', ' ')} {number}", runs.exchanges[-1])
            yield from (runs for _, runs in found)


def write_log(path: Path, exchanges: Sequence[Exchange]) -> None:
    """A line for each request: when it began, its answer began and ended, bytes up and down, connection, request."""
    if not exchanges:
        return
    first = exchanges[0].begun
    lines = (
        f"{each.begun - first:7.3f} {each.answered - first:7.3f} {each.ended - first:7.3f} {each.sent:9} "
        f"{each.received:9} {each.connection:4} {each.server} {each.request}\n"
        for each in exchanges
    )
    path.write_text("".join(lines))


def ways(lab: Lab, engine: str, places: Servers) -> Iterator[Way]:
    """Fills their caches first, as fast as the servers can."""
    buildkit = engine in BUILDKIT
    bench = (BuildKitBench if buildkit else BuildahBench)(lab, engine, lab.scratch())
    kept = () if buildkit else ("--keep-store",)

    def ours(options: Sequence[str], environment: Mapping[str, str], change: str) -> Built:
        cost, report = bench.layercache(change, *options, *kept, environment=environment)
        totals = report["totals"]
        return Built(cost.wall, cost.wall - totals["seconds"]["save"], totals["misses"])

    def theirs(options: Sequence[str], change: str) -> Built:
        cost, steps = bench.plain(change, *options)
        return Built(cost.wall, cost.wall, steps)

    places.link.set(slow=False)
    for store, (options, environment) in stores(engine, places).items():
        build = partial(ours, options, environment)
        build("cold")
        yield Way(" ".join(("`layercache build", *kept, f"--store {store}`")), build)
    caches = (buildkit_caches if buildkit else buildah_caches)(engine, places)
    theirs([option for fill, _ in caches.values() for option in fill], "cold")
    for name, (_, use) in caches.items():
        yield Way(f"`--cache-from {name}`", partial(theirs, use))


def stores(engine: str, places: Servers) -> Mapping[str, tuple[Sequence[str], Mapping[str, str]]]:
    """The options and the environment of layercache for each store."""
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    s3 = ("--store", f"s3://{BUCKET}/{engine}", "--s3-endpoint", places.s3)
    service = {
        "ACTIONS_RUNTIME_TOKEN": places.token,
        "ACTIONS_CACHE_SERVICE_V2": "True",
        "ACTIONS_RESULTS_URL": f"{places.github}/",
    }
    return {"s3": (s3, keys), "github": (("--store", "github"), service)}


def buildkit_caches(engine: str, places: Servers) -> Mapping[str, tuple[Sequence[str], Sequence[str]]]:
    """BuildKit's own: the options that fill each and those that use it. It has but gzip for s3 and gha."""
    s3 = f"type=s3,bucket={BUCKET},region=us-east-1,endpoint_url={places.s3},use_path_style=true,name=app"
    s3 += f",prefix=theirs-{engine}/,access_key_id={ACCESS_KEY},secret_access_key={SECRET_KEY}"
    gha = f"type=gha,version=2,url_v2={places.github}/,token={places.token},scope={engine}"
    registry = f"type=registry,ref={places.registry}/cache-{engine}"
    kinds = {"type=registry": (registry, ",compression=zstd"), "type=s3": (s3, ""), "type=gha": (gha, "")}
    return {
        kind: ((f"--cache-to={place},mode=max{more}",), (f"--cache-from={place}",))
        for kind, (place, more) in kinds.items()
    }


def buildah_caches(engine: str, places: Servers) -> Mapping[str, tuple[Sequence[str], Sequence[str]]]:
    place = f"{places.registry}/cache-{engine}"
    return {"a registry": (("--cache-to", place), ("--cache-from", place))}


@contextlib.contextmanager
def servers(lab: Lab) -> Iterator[Servers]:
    """The lab's registry, MinIO and the tests' cache service, all behind one link."""
    with slow_link() as link, serve_s3("minio") as s3, github(link) as (url, token):
        yield Servers(link, link.before(lab.registry), link.before(s3.url), url, token)


@contextlib.contextmanager
def github(link: SlowLink) -> Iterator[tuple[str, str]]:
    """URL and token. The service is told where it is, since it signs URLs; it has a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,))
    process.start()
    try:
        here.send(url := link.before(here.recv()))
        yield url, here.recv()
    finally:
        here.send(None)
        process.join()


def _serve(pipe: Connection) -> None:
    with serve() as server:
        pipe.send(server.url)
        server.url = pipe.recv()
        pipe.send(server.token((DEFAULT,), DEFAULT))
        pipe.recv()
