"""Saves the files of a folder in a store, or restores them, as a process of its own that can be measured.

    python -m benchmarks.store_client save|restore CHOICE FOLDER

CHOICE is StoreChoice.to_json. The last line of the output is the most memory that the process had, in bytes.
"""

from __future__ import annotations

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from layercache_ci.layers.model import ZSTD_LAYER, Descriptor, Layer
from layercache_ci.store import Store, StoreChoice, open_store
from layercache_ci.store.model import Step, StepRecord
from layercache_ci.store.verified import copy

WORKERS: Final = 4
"""Blobs at once, when they are restored the largest first: as the cache for a distant builder does, and rclone here."""
KEY: Final = "b" * 64
"""Of the only step."""
_BUFFER: Final = 1 << 20


def save(store: Store, folder: Path) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        blobs = list(pool.map(partial(_put, store), sorted(folder.iterdir())))
    layers = tuple(Layer(blob.digest, blob.size, blob, None) for blob in blobs)
    step = Step(KEY, "RUN", "RUN true", {}, layers)
    store.put_record(StepRecord("benchmark", "stage", (step,), "2026-01-01T00:00:00Z", "benchmark"))


def restore(store: Store, folder: Path) -> None:
    match = store.lookup("benchmark", [KEY])
    if match is None:
        raise SystemExit("there is nothing to restore")
    blobs = sorted((layer.blob for layer in match.record.chain[0].layers), key=lambda blob: blob.size, reverse=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(partial(_get, store, folder), blobs))


def _put(store: Store, path: Path) -> Descriptor:
    with path.open("rb") as source, store.new_blob(ZSTD_LAYER) as writer:
        while data := source.read(_BUFFER):
            writer.write(data)
        return writer.commit()


def _get(store: Store, folder: Path, blob: Descriptor) -> None:
    target = folder / blob.digest.rpartition(":")[2]
    with store.open_blob(blob) as source, target.open("wb") as file:
        copy(source, file)


def peak() -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def main(verb: str, choice: str, folder: str) -> None:
    store = open_store(StoreChoice.from_json(json.loads(choice)), environment=os.environ)
    {"save": save, "restore": restore}[verb](store, Path(folder))
    print(peak())


if __name__ == "__main__":
    main(*sys.argv[1:])
