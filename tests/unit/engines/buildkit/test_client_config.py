"""The docker configuration of a run: the user's own, and one login more."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.client_config import config_folder, logged_in
from layercache_ci.errors import CacheError
from layercache_ci.registry.model import Access
from layercache_ci.settings import Machine

ACCESS = Access(("127.0.0.1:5000", "172.17.0.1:5000"), "layercache", "secret", Path("/run"), 1)
HELPERS = {"127.0.0.1:5000": "", "172.17.0.1:5000": ""}
LOGIN = {"auth": base64.b64encode(b"layercache:secret").decode()}
LOGINS = {"127.0.0.1:5000": LOGIN, "172.17.0.1:5000": LOGIN}


def machine(**variables: str) -> Machine:
    return Machine(variables, 4_000_000, 1, False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_is_theirs_but_one_login(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "run/login"
    (theirs / "contexts/meta").mkdir(parents=True)
    (theirs / ".token_seed").write_text("seed")
    config = {
        "auths": {"example.com": {"auth": "eA=="}},
        "credsStore": "pass",
        "credHelpers": {"ghcr.io": "gh"},
        "currentContext": "c",
        "cliPluginsExtraDirs": ["/p"],
    }
    (theirs / "config.json").write_text(json.dumps(config))
    before = sorted(theirs.rglob("*"))

    environment = logged_in(ours, ACCESS, machine(DOCKER_CONFIG=str(theirs), PATH="/usr/bin", DOCKER_HOST="unix:///d"))

    docker = ours / "docker"
    assert environment == {
        "DOCKER_CONFIG": str(docker),
        "BUILDX_CONFIG": str(theirs / "buildx"),
        "PATH": "/usr/bin",
        "DOCKER_HOST": "unix:///d",
    }
    assert json.loads((docker / "config.json").read_text()) == {
        **config,
        "credHelpers": {"ghcr.io": "gh", **HELPERS},
        "auths": {"example.com": {"auth": "eA=="}, **LOGINS},
    }
    assert (docker / "contexts").readlink() == theirs / "contexts"
    assert (docker / ".token_seed").read_text() == "seed"
    assert sorted(theirs.rglob("*")) == before
    assert json.loads((theirs / "config.json").read_text()) == config


def test_nobody_else_can_read_the_password(tmp_path: Path) -> None:
    ours = tmp_path / "login"
    logged_in(ours, ACCESS, machine(HOME=str(tmp_path)))
    assert [mode(path) for path in (ours, ours / "docker")] == [0o700] * 2
    (written,) = (path for path in ours.rglob("*") if path.is_file())
    assert mode(written) == 0o600
    assert LOGIN["auth"] in written.read_text()


@pytest.mark.parametrize("text", [None, "", "{}", '{"credHelpers": null, "auths": null}'])
def test_a_user_without_a_configuration(tmp_path: Path, text: str | None) -> None:
    home = tmp_path / "home"
    if text is not None:
        (home / ".docker").mkdir(parents=True)
        (home / ".docker/config.json").write_text(text)
    environment = logged_in(tmp_path / "login", ACCESS, machine(HOME=str(home), BUILDX_CONFIG="/theirs"))
    assert environment["BUILDX_CONFIG"] == "/theirs"
    written = json.loads((tmp_path / "login/docker/config.json").read_text())
    assert written == {"credHelpers": HELPERS, "auths": LOGINS}


@pytest.mark.parametrize("text", ['{"auths": ', "[]", '{"credHelpers": 1}', '{"auths": [1]}', b"\xff\xfe{"])
def test_what_docker_can_not_read_is_left_to_docker(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CacheError, match=r"config\.json can't be read"):
        logged_in(tmp_path / "login", ACCESS, machine(DOCKER_CONFIG=str(tmp_path)))


def test_no_room_is_a_fault_of_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="no login for docker"):
        logged_in(tmp_path / "file/login", ACCESS, machine(HOME=str(tmp_path)))


def test_where_the_configuration_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_folder(machine(DOCKER_CONFIG="c", HOME="/h")) == tmp_path / "c"
    assert config_folder(machine(HOME="/h")) == Path("/h/.docker")
    assert config_folder(machine(DOCKER_CONFIG="", HOME="/h")) == Path("/h/.docker")
    assert config_folder(Machine({}, 0, 1, False)) == Path("/root/.docker")
    assert config_folder(machine()) == Path("/.docker"), "who is in no password database has no home"
