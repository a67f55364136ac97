from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.store.model import Scopes
from layercache_ci.store.s3 import S3Store
from layercache_ci.store.s3_connection import Connection
from layercache_ci.store.s3_settings import S3Settings
from tests.contract.s3 import OWN, options, server
from tests.lab.s3 import BUCKET


class Place:
    """A prefix of its own on a MinIO that all tests share; each store that it opens has a connection of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = server("minio").url
        self.settings = S3Settings(BUCKET, f"{folder.parent.name}/{folder.name}", options(self.url))

    def open(self, scopes: Scopes = OWN) -> S3Store:
        return S3Store(Connection(self.settings), folder=self.folder / "spool", scopes=scopes)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
