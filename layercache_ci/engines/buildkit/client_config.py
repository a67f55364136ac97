"""The login for a registry of ours, for docker's command line, beside everything that the user's docker has.

BuildKit asks its client for logins, and the client asks its configuration folder. Theirs is not ours to change, and a
copy would lose what is written to it meanwhile. So the run gets a folder in which all is a link to theirs but
config.json, which has our addresses' login besides. Where they have a `credsStore` docker would ask that for it: so our
addresses are in `credHelpers` too, without a program's name, by which docker takes what `auths` says (docker/cli,
cli/config/configfile). `DOCKER_AUTH_CONFIG`, which comes before all, falls back on that for hosts it does not name.
A program of ours would not do: the folder may lie where none can be run (`noexec`).
"""

from __future__ import annotations

import base64
import json
import os
import pwd
from pathlib import Path
from typing import Any, Final

from layercache_ci.errors import CacheError
from layercache_ci.registry.model import Access
from layercache_ci.settings import Machine

CONFIG: Final = "config.json"
HELPERS: Final = "credHelpers"
LOGINS: Final = "auths"


def logged_in(folder: Path, access: Access, machine: Machine) -> dict[str, str]:
    """The environment in which docker knows the login of `access`, made in `folder`, which must not exist.

    Raises CacheError where the user's configuration can't be read, about which docker says more, or ours not written.
    """
    theirs = config_folder(machine)
    try:
        config = _with_login(theirs / CONFIG, access)
        ours = folder / "docker"
        folder.mkdir(mode=0o700, parents=True)
        ours.mkdir(mode=0o700)
        _link_all(theirs, ours)
        _write(ours / CONFIG, json.dumps(config))
    except OSError as error:
        raise CacheError(f"no login for docker: {error}") from error
    return {**machine.environment, "DOCKER_CONFIG": str(ours), "BUILDX_CONFIG": str(buildx_folder(machine))}


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


def _with_login(path: Path, access: Access) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes() or b"{}")
    except FileNotFoundError:
        config = {}
    except ValueError as error:
        raise CacheError(f"{path} can't be read: {error}") from error
    known = [config.get(name) or {} for name in (HELPERS, LOGINS)] if isinstance(config, dict) else []
    if not known or not all(isinstance(each, dict) for each in known):
        raise CacheError(f"{path} can't be read: it is no configuration of docker's")
    helpers, logins = known
    login = {"auth": base64.b64encode(f"{access.user}:{access.password}".encode()).decode()}
    return {
        **config,
        HELPERS: {**helpers, **dict.fromkeys(access.addresses, "")},
        LOGINS: {**logins, **dict.fromkeys(access.addresses, login)},
    }


def _link_all(theirs: Path, ours: Path) -> None:
    try:
        names = os.listdir(theirs)  # noqa: PTH208 - names are all that is needed
    except FileNotFoundError:
        return
    for name in names:
        if name != CONFIG:
            (ours / name).symlink_to(theirs / name)


def _write(path: Path, text: str) -> None:
    """Never readable by others, not even for a moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
