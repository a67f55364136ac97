from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.engines.buildkit.daemon import Daemon, daemon_of

PLAIN: dict[str, Any] = {
    "RegistryConfig": {
        "IndexConfigs": {"docker.io": {"Mirrors": [], "Name": "docker.io", "Official": True, "Secure": True}},
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
        "Mirrors": None,
    },
    "HTTPProxy": "",
}
"""As Docker 28.5.2 says it."""


@pytest.mark.parametrize("info", [PLAIN, {}, {"RegistryConfig": None}])
def test_a_daemon_that_is_told_nothing(tmp_path: Path, info: dict[str, Any]) -> None:
    assert daemon_of(info, tmp_path / "absent") == Daemon()


def test_mirrors_and_insecure_registries(tmp_path: Path) -> None:
    indices = {
        "docker.io": {"Mirrors": ["https://mirror.gcr.io/", "http://10.0.0.1:5000/hub/"], "Secure": True},
        "reg.local:5000": {"Mirrors": [], "Secure": False},
    }
    config = daemon_of({"RegistryConfig": {"IndexConfigs": indices}}, tmp_path).config
    assert tomllib.loads(config) == {
        "registry": {
            "docker.io": {"mirrors": ["mirror.gcr.io", "10.0.0.1:5000/hub"]},
            "10.0.0.1:5000": {"http": True},
            "reg.local:5000": {"insecure": True, "http": True},
        }
    }


def test_certificates(tmp_path: Path) -> None:
    host = tmp_path / "reg.local:5000"
    host.mkdir()
    for name in ("ca.crt", "client.cert", "client.key", "lone.cert"):
        (host / name).touch()
    registry = tomllib.loads(daemon_of(PLAIN, tmp_path).config)["registry"]
    assert registry == {
        "reg.local:5000": {
            "ca": [f"{host}/ca.crt"],
            "keypair": [{"key": f"{host}/client.key", "cert": f"{host}/client.cert"}],
        }
    }


def test_proxies(tmp_path: Path) -> None:
    info = {"HTTPProxy": "http://p:1", "HTTPSProxy": "http://xxxxx:xxxxx@p:1", "NoProxy": "a,b"}
    assert daemon_of(info, tmp_path).options == ('"env.HTTP_PROXY=http://p:1"', '"env.NO_PROXY=a,b"')
