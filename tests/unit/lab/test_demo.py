"""What `make demo` installs on a machine that lacks some of what it needs."""

from __future__ import annotations

import pytest

from tests.lab import demo


@pytest.mark.parametrize(
    ("here", "installed"),
    [
        ((), ["buildah", "runc", "ca-certificates", "skopeo"]),
        (("buildah",), ["skopeo"]),
        (("podman", "skopeo"), []),
        (("skopeo",), ["buildah", "runc", "ca-certificates"]),
    ],
)
def test_an_engine_comes_with_what_asks_registries(
    monkeypatch: pytest.MonkeyPatch, here: tuple[str, ...], installed: list[str]
) -> None:
    """Without skopeo nothing could be planned, nor restored."""
    asked: list[str] = []
    monkeypatch.setattr("shutil.which", lambda program: program if program in here else None)
    monkeypatch.setattr(demo, "install_packages", asked.extend)

    assert demo.find_engine() == ("podman" if "podman" in here else "buildah")

    assert asked == installed
