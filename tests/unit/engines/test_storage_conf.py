from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from layercache_ci.engines.containers.storage_conf import dump, effective, for_build, to_change
from layercache_ci.errors import CacheError

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
    stores = [Path("/ours"), Path("/theirs")]
    told = tomllib.loads(dump(for_build(found, driver="overlay", root=Path("/b"), stores=stores, rootless=False)))
    assert told["storage"]["graphroot"] == "/b/root"
    assert told["storage"]["runroot"] == "/b/run"
    assert told["storage"]["options"] == {
        "additionalimagestores": ["/ours", "/theirs", "/mine"],
        "size": "10G",
        "overlay": {"mountopt": "nodev", "ignore_chown_errors": "true"},
    }


def test_an_ordinary_users_root_is_named_where_it_counts() -> None:
    told = for_build(tomllib.loads(TEXT), driver="overlay", root=Path("/b"), stores=[Path("/ours")], rootless=True)
    assert told["storage"]["rootless_storage_path"] == "/b/root"


def test_a_file_that_is_no_toml_is_the_caches_fault(tmp_path: Path) -> None:
    path = tmp_path / "storage.conf"
    path.write_text("[storage\n")
    with pytest.raises(CacheError, match=r"storage\.conf"):
        effective({"CONTAINERS_STORAGE_CONF": str(path)}, rootless=False)


def test_an_ordinary_user_has_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers" / "storage.conf").write_text('[storage]\ndriver = "vfs"\n')
    assert effective({"XDG_CONFIG_HOME": str(tmp_path)}, rootless=True) == {"storage": {"driver": "vfs"}}


def test_where_settings_belong() -> None:
    home = {"HOME": "/home/me"}
    assert str(to_change(home, rootless=True)) == "/home/me/.config/containers/storage.conf"
    assert str(to_change({**home, "XDG_CONFIG_HOME": "/c"}, rootless=True)) == "/c/containers/storage.conf"
    assert str(to_change(home, rootless=False)) == "/etc/containers/storage.conf"
    assert str(to_change({**home, "CONTAINERS_STORAGE_CONF": "/s"}, rootless=True)) == "/s"
