"""Step keys of BuildKit are equal exactly where its own are.

BuildKit's come from its frontend and its solver's CacheMaps; the content of the context is not in them, so files of the
same base name have the same content here.
"""

from __future__ import annotations

import base64
import itertools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from layercache_ci.dockerfile.buildkit import Options, buildkit
from layercache_ci.dockerfile.context import Context, open_context
from layercache_ci.dockerfile.parser import parse
from layercache_ci.dockerfile.plan import BaseImage, digest
from layercache_ci.dockerfile.planner import Planner, Request
from layercache_ci.dockerfile.platform import platform_args
from layercache_ci.errors import PlanError
from tests.oracle.client import Oracle, Refused
from tests.oracle.llb_strategies import CONTEXT, IMAGES, Case, pairs, shown

PLATFORM = "linux/amd64"
Keys = Mapping[int, list[str]]


class Images:
    """The images of the strategies."""

    def resolve(self, reference: str, _platform: str) -> BaseImage:
        if reference not in IMAGES:
            raise PlanError(f"no image {reference}")
        config = IMAGES[reference]["config"]
        return BaseImage(
            reference,
            reference,
            dict(entry.split("=", 1) for entry in config.get("Env", ())),
            tuple(config.get("OnBuild", ())),
            working_dir=config.get("WorkingDir", ""),
            user=config.get("User", ""),
            shell=tuple(config.get("Shell", ())),
        )


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    root = tmp_path_factory.mktemp("context")
    for name, content in CONTEXT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return open_context(root, Path("Dockerfile"), family="buildkit")


def ours(case: Case, context: Context) -> Keys:
    """The keys of the links, by their line; those of triggers stand in FROM's."""
    epoch = case.build_args.get("SOURCE_DATE_EPOCH")
    options = Options(
        run={"hostname": digest(case.options["hostname"])} if "hostname" in case.options else {},
        network=case.options.get("network", ""),
        shm_size=case.options.get("shm_size", 0),
        epoch=None if epoch is None else int(epoch),
    )
    dockerfile = parse(case.dockerfile.encode(), name="Dockerfile")
    last = "" if len(case.stages) == 3 else ("first", "second")[len(case.stages) - 1]
    predefined = platform_args(PLATFORM, PLATFORM, case.target or last)
    request = Request(
        dockerfile=dockerfile,
        context=context,
        namespace="test",
        platform=PLATFORM,
        target=case.target or None,
        build_args=case.build_args,
        predefined={name: case.build_args.get(name, value) for name, value in predefined.items()},
        dialect=buildkit(options),
    )
    found: dict[int, list[str]] = defaultdict(list)
    for stage in Planner(request, Images()).plan().stages.values():
        for step in stage.steps:
            if step.link:
                found[step.instruction.start_line].append(step.key)
    return found


def theirs(oracle: Oracle, case: Case) -> Keys:
    vertices = oracle.ask("llb", data=base64.b64encode(case.dockerfile.encode()).decode(), **case.request())
    linked = {line for vertex in vertices if vertex["kind"] == "merge" for line in vertex["lines"]}
    found: dict[int, list[str]] = defaultdict(list)
    for vertex in vertices:
        for line in vertex["lines"]:
            # of a COPY --link the merge is the step, whose key has that of the copy in it
            if vertex["kind"] in {"exec", "merge"} or (vertex["kind"] == "file" and line not in linked):
                found[line].append(vertex["key"])
    return found


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(pair=pairs())
def test_keys_are_equal_exactly_where_buildkits_are(oracle: Oracle, context: Context, pair: tuple[Case, Case]) -> None:
    steps: list[tuple[str, str, str]] = []
    for case in pair:
        try:
            their = theirs(oracle, case)
        except Refused:
            continue
        our = ours(case, context)
        assert {line: len(keys) for line, keys in our.items()} == {line: len(keys) for line, keys in their.items()}, (
            shown(case)
        )
        lines = case.dockerfile.splitlines()
        for line, keys in our.items():
            steps += [(mine, key, lines[line - 1]) for mine, key in zip(keys, their[line], strict=True)]
    for (mine, key, text), (other, other_key, other_text) in itertools.combinations(steps, 2):
        assert (mine == other) == (key == other_key), (text, other_text, mine == other, *map(shown, pair))
