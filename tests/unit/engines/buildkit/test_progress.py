from __future__ import annotations

import json
from typing import Any

import pytest

from layercache_ci.engines.buildkit.progress import Progress, SeenStep

from .configs import DATA


def _read(*events: dict[str, Any]) -> Progress:
    progress = Progress()
    for event in events:
        progress.feed(json.dumps(event))
    return progress


def _real(name: str) -> Progress:
    progress = Progress()
    for line in (DATA / f"{name}.jsonl").read_text().splitlines():
        progress.feed(line)
    return progress


def _at(second: float) -> str:
    return f"2026-01-01T00:00:{second:06.3f}000001Z"


def _vertex(name: str, digest: str = "a", **fields: Any) -> dict[str, Any]:
    return {"vertexes": [{"digest": digest, "name": name, "inputs": ["below"], **fields}]}


def _ran(name: str, digest: str = "a", **fields: Any) -> dict[str, Any]:
    return _vertex(name, digest, started=_at(1), completed=_at(3.5), **fields)


def _only(progress: Progress) -> SeenStep:
    (step,) = progress.steps()
    return step


@pytest.mark.parametrize(
    ("name", "place", "text"),
    [
        ("[1/2] RUN a", (None, None, 1, 2), "RUN a"),
        ("[ 1/12] RUN a", (None, None, 1, 12), "RUN a"),
        ("[builder  1/12] RUN a", (None, "builder", 1, 12), "RUN a"),
        ("[linux/amd64 2/2] RUN a", ("linux/amd64", None, 2, 2), "RUN a"),
        ("[linux/arm64/v8 stage-1 2/2] RUN a", ("linux/arm64/v8", "stage-1", 2, 2), "RUN a"),
        ("[linux/amd64->arm/v7 x 2/2] RUN a", ("linux/amd64->arm/v7", "x", 2, 2), "RUN a"),
        ("[target linux/amd64 x 2/2] RUN a", ("linux/amd64", "x", 2, 2), "RUN a"),
        ("[x 2/2] ONBUILD COPY a b", (None, "x", 2, 2), "ONBUILD COPY a b"),
        ("[x 2/2] LINK COPY --link a b", (None, "x", 2, 2), "COPY --link a b"),
        ("[x 2/2] RUN <<EOF (a\nb [1/2] c)", (None, "x", 2, 2), "RUN <<EOF (a\nb [1/2] c)"),
    ],
)
def test_a_step_by_its_name(name: str, place: tuple[str | None, str | None, int, int], text: str) -> None:
    platform, stage, number, total = place
    assert _only(_read(_ran(name))) == SeenStep(stage, number, total, text, "a", "ran", 2.5, platform)


@pytest.mark.parametrize(
    "name",
    ["[internal] load build context", "[context web] load", "importing cache manifest from x", "[a/b] RUN", "1/2 RUN"],
)
def test_what_is_no_step(name: str) -> None:
    assert _read(_ran(name)).steps() == ()


@pytest.mark.parametrize(
    ("events", "state", "seconds"),
    [
        ([_vertex("[1/1] RUN a")], "pending", None),
        ([_vertex("[1/1] RUN a", started=_at(1))], "pending", None),
        ([_vertex("[1/1] RUN a", started=_at(1)), _ran("[1/1] RUN a")], "ran", 2.5),
        ([_ran("[1/1] RUN a"), _vertex("[1/1] RUN a", started=_at(4), completed=_at(5))], "ran", 3.5),
        ([_ran("[1/1] RUN a"), _vertex("[1/1] RUN a", started=_at(4))], "pending", None),
        ([_ran("[1/1] RUN a", cached=True)], "hit", None),
        # Downloaded after the hit, as a later step needs it.
        ([_ran("[1/1] RUN a", cached=True), _vertex("[1/1] RUN a", started=_at(4), completed=_at(5))], "hit", None),
        # The cache could not give what it promised, and the step ran.
        (
            [
                _vertex("[1/1] RUN a", started=_at(1), cached=True),
                _ran("[1/1] RUN a", cached=True, error="not found"),
                _vertex("[1/1] RUN a", started=_at(4), completed=_at(5)),
            ],
            "ran",
            3.5,
        ),
        ([_ran("[1/1] RUN a", error="exit code: 1")], "failed", 2.5),
        ([_ran("[1/1] RUN a", error="process did not complete: context canceled")], "pending", None),
    ],
)
def test_the_state_of_a_step(events: list[dict[str, Any]], state: str, seconds: float | None) -> None:
    step = _only(_read(*events))
    assert (step.state, step.seconds) == (state, seconds)


@pytest.mark.parametrize(
    ("copied", "merged", "state"),
    [
        ({"cached": True}, {"cached": True}, "hit"),
        ({}, {"cached": True}, "ran"),
        ({"cached": True}, {}, "ran"),
        ({"error": "no such file"}, {"completed": None}, "failed"),
        ({}, {"completed": None}, "pending"),
    ],
)
def test_a_copy_with_link_is_one_step(copied: dict[str, Any], merged: dict[str, Any], state: str) -> None:
    both = [_ran("[2/2] LINK COPY --link a b", "merge") | {}, _ran("[2/2] COPY --link a b", "copy", **copied)]
    both[0]["vertexes"][0].update({"inputs": ["below", "copy"], **merged})
    step = _only(_read(*both))
    assert (step.state, step.digest) == (state, "merge")


def test_a_copy_that_was_never_asked_is_no_miss() -> None:
    merged = _ran("[2/2] LINK COPY --link a b", "merge", inputs=["below", "copy"], cached=True)
    assert _only(_read(merged, _vertex("[2/2] COPY --link a b", "copy"))).state == "hit"


def test_lines_that_are_no_status_are_passed_over() -> None:
    progress = Progress()
    for line in ("", "WARNING: No output specified", "{", "[]", "{}", '{"vertexes": 3}', '{"vertexes": [1, {}]}'):
        progress.feed(line)
    assert progress.vertices == {}


def test_a_vertex_that_comes_again_without_its_inputs_keeps_them() -> None:
    progress = _read(_ran("[1/1] RUN a"), _ran("[1/1] RUN a", inputs=[]))
    assert progress.vertices["a"].inputs == ("below",)


def test_errors_of_imports() -> None:
    progress = _read(
        _ran("importing cache manifest from 127.0.0.1:1/a:b", "x", error="not found"),
        _ran("importing cache manifest from 127.0.0.1:1/c:d", "y"),
    )
    assert progress.import_errors() == {"127.0.0.1:1/a:b": "not found"}


def test_bytes_of_downloads() -> None:
    one = {"id": "sha256:1", "vertex": "a", "current": 10}
    statuses = [one, {**one, "current": 70}, {"id": "extracting sha256:1", "current": 99}, {"id": "sha256:2"}]
    assert _read({"statuses": statuses}).imported_blobs() == {"sha256:1": 70, "sha256:2": 0}


def test_a_real_failure() -> None:
    steps = {(step.stage, step.number): step.state for step in _real("failed").steps()}
    assert steps == {
        ("base", 1): "hit",
        ("base", 2): "ran",
        ("good", 1): "ran",  # said under the name of [bad 1/4]
        ("good", 2): "ran",
        ("bad", 1): "ran",
        ("bad", 2): "ran",
        ("bad", 3): "failed",
        ("bad", 4): "pending",
        ("stage-3", 1): "ran",
        ("stage-3", 2): "pending",
    }


def test_a_real_build_and_the_same_again() -> None:
    """Of the stages `one` and `two` the common steps come under the name of `two`; `m` copies what `l` has."""
    cold, warm = _real("twin-cold").steps(), _real("twin-hit").steps()
    places = [(step.stage, step.number, step.total) for step in cold]
    assert places == [(step.stage, step.number, step.total) for step in warm]
    assert places == [
        ("l", 1, 1),
        ("m", 1, 1),
        *(("stage-4", number, 5) for number in range(1, 6)),
        *(("two", number, 4) for number in range(1, 5)),
    ]
    assert {step.state for step in cold if not step.text.startswith("FROM") and step.stage != "m"} == {"ran"}
    assert {step.state for step in warm if not step.text.startswith("FROM")} == {"hit"}
