"""Everything that layercache raises on purpose.

LayercacheError
├── InputError          the user's input is wrong: exit code 2, one line that names input, value and remedy
│   └── DockerfileError the Dockerfile can't be read as one: carries file and line
├── PlanError           the build can't be planned: it is handed to the engine, uncached, with one warning
├── EngineError         the engine can't be run (a failing build is no error: its exit code is the result)
└── CacheError          the cache is at fault: a warning and a miss, never a failed build
    ├── BlobNotFound    the store does not hold that blob
    ├── BlobDamaged     what the store holds is not what its digest says
    └── StoreUnavailable the store can't be read or written at all
"""

from __future__ import annotations


class LayercacheError(Exception):
    """The root of the tree; its text is one line for a person."""


class InputError(LayercacheError):
    """An input is wrong. The text names the input, its value and the remedy."""


class DockerfileError(InputError):
    """`file`, line `line`: what is wrong and what to write instead."""

    def __init__(self, message: str, *, file: str, line: int) -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.file = file
        self.line = line


class PlanError(LayercacheError):
    """The build can't be planned; the engine gets it as it is."""


class EngineError(LayercacheError):
    """The engine can't be run."""


class CacheError(LayercacheError):
    """The cache is at fault; the build goes on without it."""


class BlobNotFound(CacheError):
    """The store holds no blob of that digest."""


class BlobDamaged(CacheError):
    """The bytes in the store are not those that the digest names."""


class StoreUnavailable(CacheError):
    """The store can't be reached, read or written."""
