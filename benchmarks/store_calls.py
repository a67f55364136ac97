"""How often a build asks its store: counted at the server, or by a proxy before one that does not count."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qs, urlsplit

from benchmarks.counting_proxy import counting_proxy
from tests.e2e.harness import Bench
from tests.e2e.row import write_tree
from tests.e2e.store_sites import GithubSite, GithubV1Site, S3Site, StoreSite
from tests.lab.lab import Lab

ENGINES: Final = ("buildah-1.28", "remote")
LOOKUPS: Final = frozenset({"list", "GetCacheEntryDownloadURL", "v1 find"})
READS: Final = frozenset({"get", "head", "get blob"})
STEPS: Final = 10
"""Of each of the three stages."""

Counts = Callable[[], Counter[str]]
"""How often the server was asked so far, by kind."""


@dataclass(frozen=True, slots=True)
class Calls:
    """What one build asked; `hits` of its steps were in the store."""

    engine: str
    store: str
    what: str
    hits: str
    counts: Mapping[str, int]

    def of(self, kinds: frozenset[str]) -> int:
        return sum(count for kind, count in self.counts.items() if kind in kinds)

    @property
    def row(self) -> str:
        total = sum(self.counts.values())
        lookups, reads = self.of(LOOKUPS), self.of(READS)
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        numbers = f"{lookups} | {reads} | {total - lookups - reads} | {total}"
        return f"| {self.store} | {self.engine} | {self.what} | {self.hits} | {numbers} | {kinds} |"


def table(rows: Sequence[Calls]) -> str:
    lines = [
        "| store | engine | build | hits | lookups | reads | writes | all | by kind |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(row.row for row in rows)])


def measured(lab: Lab, engines: Sequence[str] = ENGINES) -> Iterator[Calls]:
    """A cold build, one in which all hits, and one with another source file; on emptied engines."""
    for name, counted in STORES.items():
        for kind in engines:
            folder = lab.scratch("calls-")
            with counted(folder) as (site, counts):
                bench = Bench(lab, lab.engine, kind, folder, site)
                for what, source in (("cold", "1"), ("all hit", "1"), ("a source file changed", "2")):
                    before = counts()
                    hits = build(bench, source)
                    yield Calls(kind, name, what, hits, counts() - before)


def build(bench: Bench, source: str) -> str:
    """How many steps hit, of how many."""
    context = bench.site() / "app"
    write_tree(context, {"Dockerfile": dockerfile(bench.lab.busybox), "src/main": source})
    engine = bench.engine()
    try:
        outcomes = bench.build(engine, context).outcomes.lower()
    finally:
        engine.remove()
    return f"{outcomes.count('h')} of {len(outcomes.replace(' ', ''))}"


def dockerfile(base: str) -> str:
    """Three stages of ten steps, as applications have them: tools, what is built with them, what is shipped."""
    tools = [f"RUN echo tool {number} > /tool{number}" for number in range(STEPS)]
    built = ["COPY --from=tools /tool0 /tool", *(f"RUN echo {number} > /library{number}" for number in range(5))]
    built += ["COPY src /src", *(f"RUN cat /src/main > /out{number}" for number in range(3))]
    shipped = [f"RUN echo {number} > /package{number}" for number in range(STEPS - 2)]
    shipped += ["COPY --from=built /out0 /app", "RUN cat /app > /started"]
    stages = {"tools": tools, "built": built, "shipped": shipped}
    return "".join(f"FROM {base} AS {name}\n" + "\n".join(steps) + "\n" for name, steps in stages.items())


def s3_name(method: str, path: str) -> str:
    """What S3 calls the request, as far as the table tells them apart."""
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    if method == "GET" and "list-type" in query:
        return "list"
    return "multipart" if {"uploads", "uploadId"} & query.keys() else method.lower()


@contextlib.contextmanager
def counted_s3(folder: Path) -> Iterator[tuple[StoreSite, Counts]]:
    site = S3Site(folder)
    with counting_proxy(site.url, s3_name) as proxy:
        yield Behind(site, proxy.url), lambda: Counter(proxy.calls)


@contextlib.contextmanager
def counted_github(make: type[GithubSite], folder: Path) -> Iterator[tuple[StoreSite, Counts]]:
    site = make(folder)
    yield site, site.server.counts


@dataclass(frozen=True, slots=True)
class Behind:
    """An S3 store at another URL."""

    site: S3Site
    url: str

    @property
    def options(self) -> tuple[str, ...]:
        return (*self.site.options, "--s3-endpoint", self.url)

    @property
    def environment(self) -> Mapping[str, str]:
        return self.site.environment

    def records(self) -> frozenset[str]:
        return self.site.records()


STORES: Final[Mapping[str, Callable[[Path], contextlib.AbstractContextManager[tuple[StoreSite, Counts]]]]] = (
    MappingProxyType(
        {
            "S3 (MinIO)": counted_s3,
            "GitHub v2": partial(counted_github, GithubSite),
            "GitHub v1": partial(counted_github, GithubV1Site),
        }
    )
)
