"""Builders of ours among others, with a `docker` that says what the test wants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.ours import list_ours, remove_ours
from layercache_ci.errors import InputError
from tests.unit.engines.buildkit.fake_docker import calls, fake_docker, says

LIST, REMOVE = "'buildx ls'*", "'buildx rm'*"
OURS = "layercache-0123456789ab"


@pytest.mark.parametrize("name", ["layercache-team", "layercache-0123456789abc", "layercache-0123456789AB"])
def test_what_only_begins_like_ours_is_not_removed(tmp_path: Path, name: str) -> None:
    rows = [{"Name": each, "Driver": "docker-container", "Nodes": [{"Endpoint": "default"}]} for each in (OURS, name)]
    machine = fake_docker(tmp_path, {LIST: says("\n".join(map(json.dumps, rows))), REMOVE: "true"})

    assert [listed.name for listed in list_ours(machine)] == [OURS]
    with pytest.raises(InputError, match=f"NAME: '{name}' is no builder of ours"):
        remove_ours(name, machine)
    remove_ours(OURS, machine)
    assert [call for call in calls(tmp_path) if call.startswith("buildx rm")] == [f"buildx rm --force {OURS}"]
