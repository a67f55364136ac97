"""The official conformance program of the distribution spec, against a registry that runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from layercache_ci.registry.client import Registry
from tests.lab.programs import STRIPPED, run_go

PROGRAM = "github.com/opencontainers/distribution-spec/conformance"
MODULE = Path(__file__).parents[2] / "oracle/conformance"
LEFT_OUT = {
    "OCI_API_BLOBS_DELETE": "false",
    "OCI_API_MANIFESTS_DELETE": "false",
    "OCI_API_TAGS_DELETE": "false",
    "OCI_API_REFERRER": "false",
    "OCI_DATA_SHA512": "false",
}
"""Nothing is deleted from a registry that ends with the build; BuildKit asks for no referrers and knows only sha256."""


@pytest.fixture(scope="module")
def conformance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("conformance")
    run_go("build", "-ldflags", STRIPPED, "-o", str(folder / "conformance"), PROGRAM, cwd=MODULE)
    yield folder / "conformance"
    shutil.rmtree(folder)


def test_every_rule_of_pull_and_push_holds(conformance: Path, registry: Registry, tmp_path: Path) -> None:
    given = {
        "OCI_REGISTRY": registry.access.addresses[0],
        "OCI_TLS": "disabled",
        "OCI_USERNAME": registry.access.user,
        "OCI_PASSWORD": registry.access.password,
        "OCI_VERSION": "1.1",
        "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
        "OCI_API_BLOBS_DIGEST_HEADER": "true",
        "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
        "OCI_DATA_SPARSE": "true",
        **LEFT_OUT,
    }
    done = subprocess.run(
        [conformance], env={**os.environ, **given}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    results = dict(line.split(":", 1) for line in done.stdout.splitlines() if line.count(":") == 1 and "..." in line)
    outcome = {name.strip(" ."): result.strip() for name, result in results.items()}
    assert done.returncode == 0, done.stdout + done.stderr
    assert (outcome["FAIL"], outcome["Error"]) == ("0", "0")
    assert int(outcome["Pass"]) > 400
    passed = {name for name, result in outcome.items() if result == "Pass"}
    assert passed >= {
        "Blob anonymous mount",
        "Blob chunked",
        "Blob get range",
        "Blob mount",
        "Blob post only",
        "Blob post put",
        "Blob streaming",
        "Blob upload cancel",
        "Manifest get by digest",
        "Manifest head by tag",
        "Manifest put by tag",
        "Tag listing",
    }
