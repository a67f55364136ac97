"""What BuildKit's checks found, at its lines."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from layercache_ci.action.checks import annotations_of
from layercache_ci.settings import BuildSettings, Machine

TEXT = "from busybox\nMAINTAINER me\n"
NOWHERE: Mapping[str, str] = MappingProxyType({})
RUN = MappingProxyType({"GITHUB_REPOSITORY": "octo/app"})


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def warning(line: int, *, file: str = "Dockerfile", text: str = TEXT, **fields: Any) -> dict[str, Any]:
    """As buildx writes it."""
    return {
        "short": encoded(f"Maintainer is old (line {line})"),
        "detail": [encoded("The MAINTAINER instruction is deprecated,"), encoded("use a label")],
        "url": "https://docs.docker.com/go/x/",
        "sourceInfo": {"filename": file, "data": encoded(text), "language": "Dockerfile"},
        "range": [{"start": {"line": line}, "end": {"line": line}}],
        **fields,
    }


def told(
    place: Path, *warnings: object, environment: Mapping[str, str] = NOWHERE, **settings: Any
) -> list[tuple[str, ...]]:
    workspace = place / "workspace"
    found = annotations_of(
        {"buildx.build.warnings": list(warnings)}, BuildSettings(**{"context": str(workspace), **settings}),
        Machine(environment, 0, 1, terminal=False), folder=place / "step", workspace=workspace,
    )  # fmt: skip
    return [(each.text, *(f"{name}={value}" for name, value in each.properties.items())) for each in found]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "workspace/sub").mkdir(parents=True)
    for name in ("Dockerfile", "sub/Other.Dockerfile"):
        (tmp_path / "workspace" / name).write_text(TEXT)
    return tmp_path


def test_each_is_at_its_line_and_told_once(place: Path) -> None:
    more = "Maintainer is old\nMore info: https://docs.docker.com/go/x/"
    title = "title=The MAINTAINER instruction is deprecated, use a label"
    assert told(place, warning(2), warning(2), warning(1, url="")) == [
        (more, title, "file=Dockerfile", "line=2"),
        ("Maintainer is old", title, "file=Dockerfile", "line=1"),
    ]
    file = str(place / "workspace/sub/Other.Dockerfile")
    (other,) = told(place, warning(2, file="Other.Dockerfile"), file=file)
    assert other[2:] == ("file=sub/Other.Dockerfile", "line=2")


@pytest.mark.parametrize(
    ("context", "file"),
    [
        ("https://github.com/octo/app.git#main", "Dockerfile"),
        ("https://me@github.com/octo/app#main:sub/", "sub/Dockerfile"),
        ("https://github.com/octo/app.git?ref=main&subdir=sub", "sub/Dockerfile"),
        ("https://github.com/octo/other.git", None),
        ("https://git.example/octo/app.git", None),
        ("git@github.com:octo/app.git", None),
    ],
)
def test_of_what_the_engine_fetched_it_is_the_runs_own_repositorys(place: Path, context: str, file: str | None) -> None:
    found = told(place, warning(2), environment=RUN, context=context)
    assert [each[2] for each in found] == ([] if file is None else [f"file={file}"])


def test_of_the_runs_commit_it_is_the_repositorys_file(place: Path) -> None:
    """Its folder may be gone by then."""
    context = str(place / "step/context/app")
    (found,) = told(place, warning(2), environment=RUN, context=context, file=f"{context}/sub/Dockerfile")
    assert found[2:] == ("file=sub/Dockerfile", "line=2")


@pytest.mark.parametrize("value", ["false", "0", "F"])
def test_they_can_be_left_out(place: Path, value: str) -> None:
    assert told(place, warning(2), environment={"DOCKER_BUILD_CHECKS_ANNOTATIONS": value}) == []
    assert told(place, warning(2), environment={"DOCKER_BUILD_CHECKS_ANNOTATIONS": "true"}) != []


def test_a_file_of_another_content_or_place_has_no_such_line(place: Path) -> None:
    assert told(place, warning(2, text="FROM scratch\n"), warning(2, file="Other")) == []
    (place / "Dockerfile").write_text(TEXT)
    for file in (str(place / "Dockerfile"), "-", "https://example.com/Dockerfile", str(place / "workspace/none")):
        assert told(place, warning(2), file=file) == []


@pytest.mark.parametrize("broken", [None, 1, {}, {"short": "?"}, warning(2, sourceInfo=None), warning(2, range=[{}])])
def test_what_buildx_does_not_write_so_is_left_out(place: Path, broken: object) -> None:
    assert len(told(place, broken, warning(2))) == 1
