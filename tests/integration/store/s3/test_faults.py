"""What a user reads when S3 can't be used: one line with cause and remedy, from the answers of a real server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from layercache_ci.errors import StoreUnavailable
from layercache_ci.settings import S3Options
from layercache_ci.store.s3 import S3Store
from layercache_ci.store.s3_connection import Connection
from layercache_ci.store.s3_settings import S3Settings
from tests.contract.s3 import OWN, options
from tests.contract.samples import NAMESPACE, put_blob, read_blob
from tests.integration.store.s3.conftest import Place
from tests.lab.s3 import BUCKET, serve_s3


def fault(folder: Path, bucket: str, chosen: S3Options) -> str:
    store = S3Store(Connection(S3Settings(bucket, "p", chosen)), folder=folder, scopes=OWN)
    with pytest.raises(StoreUnavailable) as caught:
        store.lookup(NAMESPACE, ["a"])
    text = str(caught.value)
    assert "\n" not in text
    assert f"s3://{bucket}/p" in text
    assert "no-secret-at-all" not in text
    return text


def test_no_such_bucket(place: Place) -> None:
    assert "there is no such bucket; make it, or correct --store" in fault(place.folder, "nowhere", options(place.url))


def test_an_unknown_access_key(place: Place) -> None:
    wrong = replace(options(place.url), access_key="nobody")
    assert "check AWS_ACCESS_KEY_ID" in fault(place.folder, BUCKET, wrong)


def test_a_wrong_secret(place: Place) -> None:
    wrong = replace(options(place.url), secret_key="another")
    assert "check AWS_SECRET_ACCESS_KEY" in fault(place.folder, BUCKET, wrong)


def test_a_wrong_session_token(place: Place) -> None:
    wrong = replace(options(place.url), session_token="another")
    assert "AWS_SESSION_TOKEN" in fault(place.folder, BUCKET, wrong)


def test_another_region_than_the_servers_is_found_by_the_client(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIO_SITE_REGION", "eu-central-1")
    with serve_s3("minio") as far:
        wrong = replace(options(far.url), region="us-west-2")
        store = S3Store(Connection(S3Settings(BUCKET, "p", wrong)), folder=place.folder, scopes=OWN)
        assert read_blob(store, put_blob(store, b"x")) == b"x"


def test_nobody_listens(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert "nobody listens there; check --s3-endpoint" in fault(place.folder, BUCKET, options(url))


def test_plain_http_spoken_to_as_tls(place: Place) -> None:
    url = place.url.replace("http:", "https:")
    assert "its certificate is not trusted" in fault(place.folder, BUCKET, options(url))


NO_CREDENTIALS = """
import pathlib, sys
from layercache_ci.errors import StoreUnavailable
from layercache_ci.settings import S3Options
from layercache_ci.store import StoreChoice, open_store
choice = StoreChoice("s3://cache/p", pathlib.Path(sys.argv[2]), ("own",), "own", s3=S3Options(endpoint=sys.argv[1]))
try:
    open_store(choice).lookup("n", ["a"])
except StoreUnavailable as error:
    print(error)
"""


def alone(place: Place, **environment: str) -> str:
    """In a process whose environment has nothing else of AWS's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    clean |= {"HOME": str(place.folder), "AWS_EC2_METADATA_DISABLED": "true"} | environment
    command = [sys.executable, "-c", NO_CREDENTIALS, place.url, str(place.folder)]
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=True).stdout


def test_no_credentials(place: Place) -> None:
    assert "no credentials were found; set AWS_ACCESS_KEY_ID" in alone(place)


def test_half_of_the_credentials(place: Place) -> None:
    assert "half of the credentials is missing" in alone(place, AWS_ACCESS_KEY_ID="x")


def test_a_profile_that_is_not_there(place: Place) -> None:
    assert "the profile is not there; check AWS_PROFILE" in alone(place, AWS_PROFILE="other")


def test_the_clock_is_wrong(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime as dt

    import botocore.auth

    now = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: now)
    assert "clock differs too much" in fault(place.folder, BUCKET, options(place.url))


def test_a_server_that_goes_away(tmp_path: Path) -> None:
    with serve_s3("minio") as mortal:
        store = S3Store(Connection(S3Settings(BUCKET, "p", options(mortal.url))), folder=tmp_path, scopes=OWN)
        blob = put_blob(store, b"x")
    with pytest.raises(StoreUnavailable, match="nobody listens"):
        read_blob(store, blob)
    with pytest.raises(StoreUnavailable, match="nobody listens"):
        store.contains([blob.digest])
