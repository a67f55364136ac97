"""Builds and exports of a real BuildKit, for tests and as the files in tests/data/buildkit.

`python -m tests.integration.buildkit.exports` writes those anew.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Any, Final

from layercache_ci.engines.buildkit.cacheconfig import CacheConfig
from layercache_ci.engines.buildkit.cachemanifest import MANIFEST, config_digest
from layercache_ci.engines.buildkit.progress import Progress, SeenStep
from layercache_ci.engines.buildkit.provenance import Provenance
from tests.lab.engines import Engine
from tests.lab.lab import Lab, open_lab

DATA: Final = Path(__file__).parents[2] / "data/buildkit"

THREE: Final = """FROM {base} AS base
RUN echo base > /base
FROM base AS builder
WORKDIR /b
COPY src src
RUN --mount=type=cache,target=/cache echo built > /b/out && date > /cache/d
RUN true
FROM base AS final
WORKDIR /app
COPY --from=builder /b/out /app/out
COPY --link src /app/src
RUN <<EOF
echo one > /app/one
echo two > /app/two
EOF
RUN true
CMD ["sh"]
"""
"""Three stages, with what comes in most Dockerfiles."""

TWIN: Final = """FROM {base} AS one
RUN echo same > /same
RUN true
FROM {base} AS two
RUN echo same > /same
RUN true
RUN echo two > /two
FROM scratch AS l
COPY src/a /a
FROM scratch AS m
COPY --from=l /a /a
FROM one
COPY --from=two /two /two
COPY --from=m /a /am
COPY --link --from=two /same /x/same2
ADD http://{registry}/v2/ /v2
WORKDIR /tmp
CMD ["sh"]
"""
"""Equal steps of two stages, and steps that come to equal layers in different ways."""

FAILING: Final = """FROM {base} AS base
RUN echo fbase > /base
FROM base AS good
COPY src src
RUN sleep 1; echo good > /good
FROM base AS bad
COPY src src
RUN echo bad1 > /bad1
RUN sleep 4; exit 7
RUN echo never
FROM base
COPY --from=good /good /good
COPY --from=bad /bad1 /bad1
"""
"""One of two stages fails after the other has finished."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What the solve that exports leaves: the cache in the registry, and the client's metadata file."""

    config: CacheConfig
    manifest: bytes
    metadata: dict[str, Any]

    @property
    def provenance(self) -> Provenance:
        return Provenance.from_metadata(self.metadata)


def context(lab: Lab, dockerfile: str) -> Path:
    """A context with `src/a` and that Dockerfile."""
    folder = lab.scratch()
    (folder / "src").mkdir()
    (folder / "src/a").write_text("x\n")
    (folder / "Dockerfile").write_text(dockerfile.format(base=lab.busybox, registry=lab.registry))
    return folder


def build(engine: Engine, folder: Path, *options: str | Path, check: bool = True) -> str:
    """Builds and gives the lines of BuildKit's progress."""
    return engine.plain("--progress", "rawjson", "--output", "type=cacheonly", *options, folder, check=check).stderr


def steps(lines: str) -> tuple[SeenStep, ...]:
    progress = Progress()
    for line in lines.splitlines():
        progress.feed(line)
    return progress.steps()


def misses(lines: str) -> list[tuple[str | None, int]]:
    """Which steps did not hit; a FROM is never one."""
    return [(step.stage, step.number) for step in steps(lines) if step.state != "hit" and step.text[:5] != "FROM "]


def export(engine: Engine, lab: Lab, folder: Path, tag: str, *options: str | Path) -> Exported:
    """Builds once more, with an export of everything, and reads what it left."""
    reference, file = f"{lab.registry}/cache:{tag}", folder.parent / f"{folder.name}.metadata"
    chosen = "mode=max,compression=zstd,oci-mediatypes=true,image-manifest=true"
    telling = replace(engine, environment={**engine.environment, "BUILDX_METADATA_PROVENANCE": "max"})
    build(telling, folder, "--cache-to", f"type=registry,ref={reference},{chosen}", "--metadata-file", file, *options)
    manifest = fetch(lab, f"manifests/{tag}")
    config = json.loads(fetch(lab, f"blobs/{config_digest(manifest)}"))
    return Exported(CacheConfig.from_json(config), manifest, json.loads(file.read_text()))


def fetch(lab: Lab, path: str) -> bytes:
    """A manifest or blob of the repository `cache`."""
    return _ask(lab, "GET", f"/v2/cache/{path}", accept=MANIFEST)[1]


def publish(lab: Lab, tag: str, manifest: bytes, config: bytes) -> str:
    """Puts a cache into the registry, beside the blobs of the exports, and gives the option that imports it."""
    location = urllib.parse.urlsplit(_ask(lab, "POST", "/v2/cache/blobs/uploads/")[0]["Location"])
    _ask(lab, "PUT", f"{location.path}?{location.query}&digest={config_digest(manifest)}", config)
    _ask(lab, "PUT", f"/v2/cache/manifests/{tag}", manifest, content_type=MANIFEST)
    return f"--cache-from=type=registry,ref={lab.registry}/cache:{tag}"


def _ask(lab: Lab, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[Message, bytes]:
    with contextlib.closing(http.client.HTTPConnection(lab.registry, timeout=30)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        found = answer.read()
    assert answer.status < 300, found
    return answer.headers, found


def history(engine: Engine) -> str:
    """The replay of the engine's last build."""
    (reference,) = engine.run("buildx", "history", "ls", "--format", "{{.Ref}}").stdout.split()[:1]
    return engine.run("buildx", "history", "logs", "--progress", "rawjson", reference.rpartition("/")[2]).stderr


def write_data(folder: Path) -> None:
    """Writes the files that unit tests read."""
    with open_lab() as lab:
        engine = lab.engine("remote")
        try:
            for name, dockerfile in (("three", THREE), ("twin", TWIN)):
                made = context(lab, dockerfile)
                cold = build(engine, made)
                found = export(engine, lab, made, name)
                parts = {
                    "config": json.loads(fetch(lab, f"blobs/{config_digest(found.manifest)}")),
                    "manifest": json.loads(found.manifest),
                    "metadata": {key: value for key, value in found.metadata.items() if "provenance" in key},
                }
                (folder / f"{name}.json").write_text(json.dumps(parts, indent=1) + "\n")
            (folder / "twin-cold.jsonl").write_text(cold)
            (folder / "twin-hit.jsonl").write_text(history(engine))
            build(engine, context(lab, FAILING), check=False)
            (folder / "failed.jsonl").write_text(history(engine))
        finally:
            engine.remove()


if __name__ == "__main__":
    write_data(DATA)
