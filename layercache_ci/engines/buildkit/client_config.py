"""The login for a registry of ours, for docker's command line, beside everything that the user's docker has.

BuildKit asks its client for logins, and the client asks its configuration folder. Theirs is not ours to change, and a
copy would lose what is written to it meanwhile. So the run gets a folder in which all is a link to theirs but
config.json, which has one more entry: `credHelpers` for our addresses. Among the places where docker looks for a login
that one comes before `credsStore` and `auths` (docker/cli, cli/config/configfile), and `DOCKER_AUTH_CONFIG`, which
comes before all, falls back on it for hosts that it does not name.
"""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any, Final

from layercache_ci.errors import CacheError
from layercache_ci.registry.model import Access
from layercache_ci.settings import Machine

CONFIG: Final = "config.json"
HELPER: Final = "layercache"
SCRIPT: Final = """\
#!/bin/sh
# https://github.com/docker/docker-credential-helpers: the verb is the argument, the server comes by standard input.
[ "$1" = get ] || exit 0
cat <<'LOGIN'
{login}
LOGIN
"""


def logged_in(folder: Path, access: Access, machine: Machine) -> dict[str, str]:
    """The environment in which docker knows the login of `access`, made in `folder`, which must not exist.

    Raises CacheError where the user's configuration can't be read, about which docker says more, or ours not written.
    """
    theirs = config_folder(machine)
    try:
        config = _with_helper(theirs / CONFIG, access)
        ours, programs = folder / "docker", folder / "bin"
        folder.mkdir(mode=0o700, parents=True)
        ours.mkdir(mode=0o700)
        programs.mkdir(mode=0o700)
        _link_all(theirs, ours)
        _write(ours / CONFIG, json.dumps(config), 0o600)
        _write(programs / f"docker-credential-{HELPER}", SCRIPT.format(login=_login(access)), 0o700)
    except OSError as error:
        raise CacheError(f"no login for docker: {error}") from error
    environment = dict(machine.environment)
    path = environment.get("PATH") or os.defpath
    builders = str(buildx_folder(machine))
    return {**environment, "DOCKER_CONFIG": str(ours), "BUILDX_CONFIG": builders, "PATH": f"{programs}:{path}"}


def config_folder(machine: Machine) -> Path:
    """The user's: `$DOCKER_CONFIG`, else `.docker` at home; without `HOME` that is the password database's."""
    named = machine.environment.get("DOCKER_CONFIG")
    if named:
        return Path(named).absolute()
    return Path(machine.environment.get("HOME") or _home(machine.uid)).absolute() / ".docker"


def buildx_folder(machine: Machine) -> Path:
    """Where buildx keeps the user's builders: `$BUILDX_CONFIG`, else below their configuration."""
    return Path(machine.environment.get("BUILDX_CONFIG") or config_folder(machine) / "buildx")


def _home(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return "/"


def _with_helper(path: Path, access: Access) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes() or b"{}")
    except FileNotFoundError:
        config = {}
    except ValueError as error:
        raise CacheError(f"{path} can't be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("credHelpers") or {}, dict):
        raise CacheError(f"{path} can't be read: it is no configuration of docker's")
    helpers = {**(config.get("credHelpers") or {}), **dict.fromkeys(access.addresses, HELPER)}
    return {**config, "credHelpers": helpers}


def _link_all(theirs: Path, ours: Path) -> None:
    try:
        names = os.listdir(theirs)  # noqa: PTH208 - names are all that is needed
    except FileNotFoundError:
        return
    for name in names:
        if name != CONFIG:
            (ours / name).symlink_to(theirs / name)


def _login(access: Access) -> str:
    return json.dumps({"ServerURL": access.addresses[0], "Username": access.user, "Secret": access.password})


def _write(path: Path, text: str, mode: int) -> None:
    """Never readable by others, not even for a moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
