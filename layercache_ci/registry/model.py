"""What the registry's process and those who use it tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from layercache_ci.layers.model import Descriptor
from layercache_ci.store.choice import StoreChoice

CONTROL: Final = "/layercache/"
"""Paths below this one are ours, not the distribution spec's."""

AGENT: Final = "layercache"
"""The User-Agent of our own requests: they are no sign that a builder reaches the registry."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a registry that runs. `addresses` are `host:port`, one for each host asked for, in that order."""

    addresses: tuple[str, ...]
    user: str
    password: str
    folder: Path
    pid: int


@dataclass(frozen=True, slots=True)
class Status:
    """What a registry has done so far; our own requests are not counted."""

    requests: int
    bytes_served: int
    blobs_served: Mapping[str, int]
    """Bytes given out of each blob, by its digest."""
    faults: tuple[str, ...]
    """What was offered and could not be given, `<digest>: <why>`."""
    asked: frozenset[str]
    """`<address> <repository>:<reference>` of the manifests asked for by a tag."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a registry's process is started with; it comes by standard input, so that no list of processes shows it."""

    folder: Path
    store: StoreChoice
    sockets: tuple[int, ...]
    """File descriptors, which listen already."""
    owner: int
    user: str
    password: str
    expected: tuple[tuple[str, str], ...] = ()
    """Manifests that will be put, repository and reference: who asks for one before waits for it."""

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "store": self.store.to_json(),
            "sockets": list(self.sockets),
            "owner": self.owner,
            "user": self.user,
            "password": self.password,
            "expected": [list(each) for each in self.expected],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Service:
        return cls(
            Path(value["folder"]),
            StoreChoice.from_json(value["store"]),
            tuple(value["sockets"]),
            value["owner"],
            value["user"],
            value["password"],
            tuple((repository, reference) for repository, reference in value["expected"]),
        )


def descriptor_json(descriptor: Descriptor) -> dict[str, Any]:
    """As the image spec writes it."""
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def descriptor_of(value: Mapping[str, Any]) -> Descriptor:
    return Descriptor(value["mediaType"], value["digest"], value["size"])
