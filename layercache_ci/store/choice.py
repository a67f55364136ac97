"""Which store a run uses, in a form that another process can be given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from layercache_ci.settings import S3Options, Tier
from layercache_ci.store.model import Scopes


@dataclass(frozen=True, slots=True)
class StoreChoice:
    """What `open_store` needs. `folder` is where a local store lives that names no folder, and where others put what is
    on its way; `max_size` is in bytes, None for the backend's own default."""

    location: str
    folder: Path
    read: tuple[str, ...]
    write: str | None
    max_size: int | None = None
    s3: S3Options = field(default_factory=S3Options)
    tier: Tier | None = None

    @property
    def scopes(self) -> Scopes:
        return Scopes(self.read, self.write)

    def to_json(self) -> dict[str, Any]:
        """With the credentials of `s3`, where such were given: not for other eyes."""
        tier = self.tier and {"folder": str(self.tier.folder), "max_size": self.tier.max_size}
        return {
            "location": self.location,
            "folder": str(self.folder),
            "read": list(self.read),
            "write": self.write,
            "max_size": self.max_size,
            "s3": asdict(self.s3),
            "tier": tier,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StoreChoice:
        location, tier = value["location"], value.get("tier")
        return cls(
            location,
            Path(value["folder"]),
            tuple(value["read"]),
            value["write"],
            value.get("max_size"),
            S3Options(**value.get("s3", {})),
            tier and Tier(Path(tier["folder"]), tier["max_size"]),
        )
