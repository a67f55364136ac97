"""The mounts of a RUN, as BuildKit's key counts them.

Sources: BuildKit v0.34.2, frontend/dockerfile/dockerfile2llb/convert_{runmount,secrets,ssh}.go and
solver/llbsolver/ops/exec.go (CacheMap: what a secret holds, where a mount comes from and the id of a cache mount that
has one of its own do not count).
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field

from layercache_ci.dockerfile.buildkit_content import Selector, content_ingredients
from layercache_ci.dockerfile.buildkit_state import State, join
from layercache_ci.dockerfile.content import Content
from layercache_ci.dockerfile.dialect import Place
from layercache_ci.dockerfile.mounts import Mount
from layercache_ci.dockerfile.plan import EXPLAINING, digest


@dataclass(slots=True)
class Mounted:
    """What the mounts of one RUN add to its ingredients."""

    values: dict[str, str] = field(default_factory=dict)
    origins: list[str] = field(default_factory=list)
    stages: list[int] = field(default_factory=list)
    foreseeable: bool = True


def mounted(
    mounts: Sequence[Mount], state: State, place: Place, *, shm_size: int = 0, cache_namespace: str = ""
) -> Mounted:
    """`mounts` are expanded; `shm_size` (bytes) and `cache_namespace` are options of the whole build."""
    found = Mounted()
    options: list[tuple[str, ...]] = [("/dev/shm", "tmpfs", str(shm_size))] if shm_size else []  # noqa: S108 - its name
    secrets: list[tuple[str, ...]] = []
    sockets: list[tuple[str, ...]] = []
    for number, mount in enumerate(mounts):
        if mount.type == "secret":
            secrets.append(_secret(mount))
        elif mount.type == "ssh":
            sockets.append(_socket(mount, len(sockets)))
        else:
            target = _target(mount, state)
            options.append((target, *_options(mount, target, cache_namespace)))
            _source(found, number, mount, place)
    options.sort(key=lambda option: option[0])
    everything = [*options, *secrets, *sockets]
    if everything:
        found.values["mounts"] = digest(*(digest(*option) for option in everything))
    if found.origins:
        found.values["mount from"] = digest(*found.origins)
    return found


def _target(mount: Mount, state: State) -> str:
    target = mount.target or ""
    return target if target.startswith("/") else join("/", state.workdir, target)


def _options(mount: Mount, target: str, cache_namespace: str) -> tuple[str, ...]:
    common = (mount.type, "ro" if mount.read_only else "rw")
    if mount.type == "tmpfs":
        return (*common, str(mount.size or 0))
    if mount.type != "cache":
        return common
    name = f"{cache_namespace}/{mount.id or posixpath.normpath(mount.target or '.')}"
    usual = name.partition("/")[2] == target and mount.sharing in {None, "shared"}
    owned = not _selected(mount) and (mount.mode, mount.uid, mount.gid) != (None, None, None)
    permissions = f"{0o755 if mount.mode is None else mount.mode:o} {mount.uid or 0} {mount.gid or 0}"
    return (*common, name if usual else "", permissions if owned else "")


def _secret(mount: Mount) -> tuple[str, ...]:
    name = mount.source or mount.id or posixpath.basename((mount.target or "").rstrip("/")) or "/"
    target = mount.target or ""
    if mount.env is None:
        target = target or f"/run/secrets/{posixpath.basename(name.rstrip('/'))}"
    variable = "no env" if mount.env is None else f"env {mount.env}"
    return ("secret", name, target, variable, str(mount.required), _permissions(mount, 0o400))


def _socket(mount: Mount, number: int) -> tuple[str, ...]:
    target = mount.target or f"/run/buildkit/ssh_agent.{number}"
    return ("ssh", mount.id or "", target, str(mount.required), _permissions(mount, 0o600))


def _permissions(mount: Mount, mode: int) -> str:
    return f"{mode if mount.mode is None else mount.mode:o} {mount.uid or 0} {mount.gid or 0}"


def _selected(mount: Mount) -> str:
    """The path in its source, empty for all of it."""
    return join("/", mount.source or "").lstrip("/")


def _source(found: Mounted, number: int, mount: Mount, place: Place) -> None:
    """What a bind or cache mount holds."""
    if mount.type == "tmpfs" or (mount.type == "cache" and not mount.from_):
        return
    name = f"mount {number}"
    content: Content | None = place.content
    if mount.from_:
        origin = place.origin(mount.from_, numbered=False)
        content = place.contexts.get(origin.name) if origin.kind == "context" else None
        if content is None:
            key = place.of_origin(origin)
            found.origins.append(digest(key, _selected(mount)))
            found.foreseeable = found.foreseeable and bool(key)
            found.stages += [origin.stage] if origin.stage is not None else []
            return
    if content is None:
        found.foreseeable = False
        return
    ingredients = content_ingredients(content, [Selector(join("/", _selected(mount)))])
    found.values[name] = ingredients.pop("tree")
    found.values |= {name: value for name, value in ingredients.items() if name.startswith(EXPLAINING)}
