"""The policies of docs/s3.md, given to sessions of a real server: what they allow suffices, what they deny stays so."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from layercache_ci.errors import BlobDamaged, StoreUnavailable
from layercache_ci.store.model import Match, Scopes
from layercache_ci.store.s3 import S3Store
from layercache_ci.store.s3_connection import Connection
from tests.contract.s3 import client
from tests.contract.samples import NAMESPACE, put_blob, read_blob, record, save
from tests.integration.store.s3.conftest import Place
from tests.lab.s3 import ACCESS_KEY, BUCKET, SECRET_KEY

MAIN = Scopes(("refs/heads/main",), "refs/heads/main")
PULL_REQUEST = Scopes(("refs/pull/1/merge", "refs/heads/main"), "refs/pull/1/merge")


def documented(place: Place) -> list[dict[str, Any]]:
    """The policies, in their order, for that place."""
    text = (Path(__file__).parents[4] / "docs/s3.md").read_text()
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    return [json.loads(block.replace("BUCKET", BUCKET).replace("PREFIX", place.settings.prefix)) for block in blocks]


def session(place: Place, policy: dict[str, Any], scopes: Scopes) -> S3Store:
    """A store by temporary credentials that may do what the policy says."""
    sts = boto3.client(
        "sts", endpoint_url=place.url, region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
    )  # fmt: skip
    given = sts.assume_role(
        RoleArn="arn:aws:iam::123456789012:role/layercache", RoleSessionName="test", Policy=json.dumps(policy)
    )["Credentials"]
    chosen = replace(
        place.settings.options,
        access_key=given["AccessKeyId"],
        secret_key=given["SecretAccessKey"],
        session_token=given["SessionToken"],
    )
    connection = Connection(replace(place.settings, options=chosen))
    return S3Store(connection, folder=place.folder / "spool", scopes=scopes, patience=0)


def damage(place: Place, digest: str) -> None:
    prefix = f"{place.settings.base}blobs/sha256/{digest.removeprefix('sha256:')}"
    for entry in client("minio").list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]:
        data = client("minio").get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
        client("minio").put_object(Bucket=BUCKET, Key=entry["Key"], Body=b"\xff" + data[1:])


def test_the_least_that_a_run_needs(place: Place) -> None:
    store = session(place, documented(place)[0], MAIN)
    assert store.lookup(NAMESPACE, ["a", "b"]) is None
    saved = save(store, [("a", b"1"), ("b", bytes(20 << 20))])
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(saved, 2)
    assert store.newest(NAMESPACE, "app") == saved
    blob = saved.chain[1].layers[0].blob
    assert read_blob(store, blob) == bytes(20 << 20)
    store.touch(saved, 2)
    damage(place, blob.digest)
    with pytest.raises(BlobDamaged):
        read_blob(store, blob)
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(saved, 1)
    put_blob(store, bytes(20 << 20))
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(saved, 2)


def test_a_pull_request_may_not_write_what_the_default_branch_finds(place: Place) -> None:
    policy, deny = documented(place)[:2]
    policy["Statement"].append(deny)
    saved = save(place.open(MAIN), [("a", b"1")])
    other = session(place, policy, PULL_REQUEST)
    assert other.lookup(NAMESPACE, ["a"]) == Match(saved, 1)
    mine = save(other, [("a", b"1"), ("b", b"2")])
    assert other.lookup(NAMESPACE, ["a", "b"]) == Match(mine, 2)
    with pytest.raises(StoreUnavailable, match="may not do PutObject"):
        session(place, policy, MAIN).put_record(record(*mine.chain, stage="app"))
    assert place.open(MAIN).lookup(NAMESPACE, ["a", "b"]) == Match(saved, 1)


def test_credentials_that_only_read(place: Place) -> None:
    policy = documented(place)[0]
    policy["Statement"][1]["Action"] = "s3:GetObject"
    saved = save(place.open(MAIN), [("a", b"1")])
    store = session(place, policy, MAIN)
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)
    assert read_blob(store, saved.chain[0].layers[0].blob) == b"1"
    with pytest.raises(StoreUnavailable, match=r"these credentials may not do PutObject; .*docs/s3.md"):
        put_blob(store, b"2")


def test_a_role_that_is_assumed(place: Place) -> None:
    role = replace(place.settings.options, role_arn="arn:aws:iam::123456789012:role/layercache")
    store = S3Store(Connection(replace(place.settings, options=role)), folder=place.folder, scopes=MAIN)
    saved = save(store, [("a", b"1")])
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)
    credentials = store._connection.client._request_signer._credentials  # type: ignore[attr-defined]
    assert credentials.access_key != ACCESS_KEY
    assert credentials.token


def test_the_lifecycle_rule_is_one(place: Place) -> None:
    rule: Any = documented(place)[3]
    client("minio").put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rule)
    (kept,) = client("minio").get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    client("minio").delete_bucket_lifecycle(Bucket=BUCKET)
    assert kept["Expiration"]["Days"] == 30
    # MinIO ends unfinished uploads by itself, and does not keep that part of the rule
    assert rule["Rules"][0]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 1
