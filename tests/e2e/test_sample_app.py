"""The sample application, with apt and pip for real: cold, emptied, and one thing changed at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeEngine
from tests.lab.engines import BUILDKIT, Engine
from tests.lab.lab import Lab
from tests.lab.paths import CHECKOUT

IN_EVERY_RUN = {"buildah-1.28", "remote"}
ENGINES = [
    pytest.param(name, marks=() if name in IN_EVERY_RUN else pytest.mark.all_rows)
    for name in ("buildah-1.28", "buildah-sid", "podman-4.3", "podman-sid", "buildah-rootless", *BUILDKIT)
]
TRANSPORTS = {"unreachable": "layout"}
CONTAINERS_STEPS = ("mm mmm mmmmmm", "hh hhh hmmmmm", "hh hhh hhhhmm", "hh hmm mmmmmm")
"""Cold; src/main.py, VERSION and requirements.txt changed. Podman and Buildah have a step for each instruction."""
BUILDKIT_STEPS = ("mm mmm mmm", "hh hhh hmm", "hh hhh hhm", "hh hmm mmm")


def build(lab: Lab, engine: Engine, store: Path, app: Path, *options: str) -> str:
    """The outcomes of the steps, `h` and `m`, stage by stage; every prediction but the unknown must have come true."""
    report = store / "report.json"
    engine.build(
        "--store", f"local:{store / 'cache'}", "--report", report, "--network", "host", "--keep-store", "-t", "app",
        "--build-arg", f"BASE={lab.debian}", *options, app,
    )  # fmt: skip
    value: dict[str, Any] = json.loads(report.read_text())
    steps = [step for stage in value["stages"] for step in stage["steps"] if step["outcome"]]
    assert value["transport"] == TRANSPORTS.get(engine.name, "registry" if engine.name in BUILDKIT else "image store")
    wrong = [step for step in steps if step["predicted"] not in {"unknown", step["outcome"]}]
    assert wrong == []
    return " ".join(
        "".join(step["outcome"][0] for step in stage["steps"] if step["outcome"]) for stage in value["stages"]
    )


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.timeout(1800)
def test_only_what_depends_on_a_change_is_built(lab: Lab, make_large_engine: MakeEngine, name: str) -> None:
    store = lab.scratch()
    store.chmod(0o777)

    def app() -> Path:
        folder = lab.scratch() / "app"
        shutil.copytree(CHECKOUT / "examples/app", folder)
        return folder

    def run(folder: Path, *options: str) -> str:
        return build(lab, make_large_engine(name), store, folder, *options)

    cold, source_changed, version_changed, requirements_changed = (
        BUILDKIT_STEPS if name in BUILDKIT else CONTAINERS_STEPS
    )

    assert run(app()) == cold
    assert run(app()) == cold.replace("m", "h")

    source = app()
    with (source / "src/main.py").open("a") as file:
        file.write("\n# changed\n")
    assert run(source) == source_changed

    assert run(app(), "--build-arg", "VERSION=2") == version_changed

    requirements = app()
    with (requirements / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    assert run(requirements) == requirements_changed
