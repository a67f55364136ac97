from __future__ import annotations

import hashlib
import json

import pytest

from layercache_ci.engines.buildkit.cacheconfig import (
    MEDIA_TYPE,
    CacheConfig,
    CacheInput,
    CacheLayer,
    CacheRecord,
    CacheResult,
)
from layercache_ci.engines.buildkit.cachemanifest import LARGEST, config_digest, descriptors_of, fit, manifest_of
from layercache_ci.errors import CacheError

from .configs import blob, real, time


def _line(length: int) -> CacheConfig:
    """A chain of steps, each with a result, oldest first."""
    layers = tuple(CacheLayer(blob(at), at - 1 if at else None) for at in range(length))
    records = tuple(
        CacheRecord(blob(1000 + at), ((CacheInput(at - 1),),) if at else (), (CacheResult((at,), time(at)),))
        for at in range(length)
    )
    return CacheConfig(layers, records)


def _descriptors(length: int, size: int = 0) -> dict[str, dict[str, object]]:
    return {blob(at): {"digest": blob(at), "size": 1, "annotations": {"filler": "x" * size}} for at in range(length)}


@pytest.mark.parametrize("name", ["three", "twin"])
def test_a_real_export_is_made_anew(name: str) -> None:
    theirs = real(name)
    config = CacheConfig.from_json(theirs["config"])
    manifest, body = manifest_of(config, descriptors_of(json.dumps(theirs["manifest"]).encode()))
    written = json.loads(manifest)
    assert {key: written[key] for key in ("schemaVersion", "mediaType")} == {
        key: theirs["manifest"][key] for key in ("schemaVersion", "mediaType")
    }
    assert {one["digest"] for one in written["layers"]} == set(config.blobs())
    assert all(one in theirs["manifest"]["layers"] for one in written["layers"])
    assert written["config"] == {
        "mediaType": MEDIA_TYPE,
        "digest": "sha256:" + hashlib.sha256(body).hexdigest(),
        "size": len(body),
    }
    assert config_digest(manifest) == written["config"]["digest"]


def test_a_blob_without_a_descriptor_is_a_miss() -> None:
    manifest, body = manifest_of(_line(3), _descriptors(2))
    assert descriptors_of(manifest).keys() == {blob(0), blob(1)}
    left = CacheConfig.from_json(json.loads(body))
    assert [len(record.results) for record in left.records] == [1, 1, 0]


def test_what_fits_stays_as_it_is() -> None:
    assert fit(_line(5), _descriptors(5)) == _line(5)


def test_the_oldest_results_go_until_both_fit() -> None:
    config = _line(20)
    # Every chain is needed from its base on, so only a limit on the config shrinks results one by one.
    limit = max(len(part) for part in manifest_of(config, _descriptors(20))) - 150
    left = fit(config, _descriptors(20), limit)
    kept = [len(record.results) for record in left.records]
    assert kept == sorted(kept)
    assert 0 < sum(kept) < 20
    assert all(len(part) <= limit for part in manifest_of(left, _descriptors(20)))


def test_a_manifest_too_large_for_anything_is_empty() -> None:
    descriptors = _descriptors(3, size=LARGEST)
    assert fit(_line(3), descriptors) == CacheConfig()


def test_an_index_names_layers_and_config() -> None:
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd", "digest": blob(1), "size": 1}
    config = {"mediaType": MEDIA_TYPE, "digest": blob(2), "size": 1}
    index = json.dumps({"schemaVersion": 2, "manifests": [layer, config]}).encode()
    assert descriptors_of(index) == {blob(1): layer}
    assert config_digest(index) == blob(2)


@pytest.mark.parametrize("manifest", [b"", b"[]", b'{"layers": {"a": 1}}', b'{"layers": [1]}', b'{"layers": [{}]}'])
def test_what_is_no_manifest_is_a_fault_of_the_cache(manifest: bytes) -> None:
    with pytest.raises(CacheError, match="cache manifest"):
        descriptors_of(manifest)


@pytest.mark.parametrize("manifest", [b"{}", b'{"config": {"mediaType": "x", "digest": "y"}}'])
def test_a_manifest_of_something_else_names_no_config(manifest: bytes) -> None:
    with pytest.raises(CacheError, match="names no cache config"):
        config_digest(manifest)
