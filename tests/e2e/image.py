"""An image as tests compare it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Image:
    id: str
    config: dict[str, Any]
    """What containers are run with: Env, Cmd, Labels, …"""
    history: tuple[str, ...]
    files: dict[str, tuple[object, ...]]
    """Path → type and mode, owner, group, and the sha256 of the content or the target of a link. No times: a step that
    ran again has new ones."""

    def has(self, path: str, content: str) -> bool:
        return self.files.get(path, (None,))[-1] == hashlib.sha256(content.encode()).hexdigest()
