from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.containers.storage_conf import as_options, dump, effective, with_image_store
from layercache_ci.errors import CacheError

ENGINE = Engine("buildah", "/usr/bin/buildah", "1.28.2", "1.28.2", Path("/g"), Path("/r"), "overlay")
TEXT = """
[storage]
driver = "overlay"
graphroot = "/elsewhere"
rootless_storage_path = "$HOME/s"
[storage.options]
additionalimagestores = ["/mine"]
size = "10G"
[storage.options.overlay]
mountopt = "nodev"
ignore_chown_errors = "true"
"""


def test_the_users_settings_stay_and_ours_come_first(tmp_path: Path) -> None:
    path = tmp_path / "storage.conf"
    path.write_text(TEXT)
    found = effective({"CONTAINERS_STORAGE_CONF": str(path)}, rootless=False)
    told = tomllib.loads(dump(with_image_store(found, ENGINE, Path("/ours"), None)))
    assert told["storage"]["graphroot"] == "/g"
    assert told["storage"]["runroot"] == "/r"
    assert "rootless_storage_path" not in told["storage"]
    assert told["storage"]["options"] == {
        "additionalimagestores": ["/ours", "/mine"],
        "size": "10G",
        "overlay": {"mountopt": "nodev", "ignore_chown_errors": "true"},
    }


def test_a_build_of_its_own_reads_the_users_storage_too() -> None:
    told = with_image_store({}, ENGINE, Path("/ours"), Path("/build"))["storage"]
    assert told["graphroot"] == "/build/root"
    assert told["runroot"] == "/build/run"
    assert told["options"]["additionalimagestores"] == ["/ours", "/g"]


def test_a_file_that_is_no_toml_is_the_caches_fault(tmp_path: Path) -> None:
    path = tmp_path / "storage.conf"
    path.write_text("[storage\n")
    with pytest.raises(CacheError, match=r"storage\.conf"):
        effective({"CONTAINERS_STORAGE_CONF": str(path)}, rootless=False)


def test_an_ordinary_user_has_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers" / "storage.conf").write_text('[storage]\ndriver = "vfs"\n')
    assert effective({"XDG_CONFIG_HOME": str(tmp_path)}, rootless=True) == {"storage": {"driver": "vfs"}}


def test_an_ordinary_users_build_gets_it_as_options() -> None:
    told = with_image_store(tomllib.loads(TEXT), ENGINE, Path("/ours"), Path("/build"))
    assert as_options(told) == [
        "--root=/build/root",
        "--runroot=/build/run",
        "--storage-driver=overlay",
        "--storage-opt=overlay.imagestore=/ours",
        "--storage-opt=overlay.imagestore=/g",
        "--storage-opt=overlay.imagestore=/mine",
        "--storage-opt=overlay.mountopt=nodev",
        "--storage-opt=overlay.ignore_chown_errors=true",
    ]
