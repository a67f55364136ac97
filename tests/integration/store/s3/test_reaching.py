"""Ways to S3 by the SDK's own chain, against a server of their own: TLS, proxies, encryption, an identity provider."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from layercache_ci.errors import StoreUnavailable
from layercache_ci.settings import S3Options
from layercache_ci.store.model import Match
from layercache_ci.store.s3 import S3Store
from layercache_ci.store.s3_connection import Connection
from layercache_ci.store.s3_settings import S3Settings
from tests.contract.s3 import OWN, options
from tests.contract.samples import NAMESPACE, read_blob, save
from tests.integration.store.s3.conftest import Place
from tests.lab.certificates import make_certificates
from tests.lab.oidc import CONFIGURATION, Issuer, issuing
from tests.lab.relay import forward_proxy
from tests.lab.s3 import ACCESS_KEY, BUCKET, serve_s3

LARGE = os.urandom(40 << 20)
"""Goes in parts."""
CLIENT = "layercache"
ROLE = "arn:minio:iam:::role/dummy-internal"
"""MinIO's name for "as the token's claim says"."""


def opened(folder: Path, chosen: S3Options) -> S3Store:
    return S3Store(Connection(S3Settings(BUCKET, folder.name, chosen)), folder=folder / "spool", scopes=OWN)


def works(store: S3Store, *, data: bytes = b"1") -> None:
    key = f"{len(data)} bytes"
    saved = save(store, [(key, data)])
    assert store.lookup(NAMESPACE, [key]) == Match(saved, 1)
    assert read_blob(store, saved.chain[0].layers[0].blob) == data


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_a_certificate_of_an_authority_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_certificates(tmp_path)
    with serve_s3("minio", tls=(made.certificate, made.key)) as server:
        chosen = options(server.url)
        with pytest.raises(StoreUnavailable, match=r"certificate is not trusted; set AWS_CA_BUNDLE to the file of its"):
            opened(tmp_path, chosen).lookup(NAMESPACE, ["a"])
        works(opened(tmp_path, replace(chosen, ca_bundle=str(made.authority))), data=LARGE)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(made.authority))
        works(opened(tmp_path / "by its variable", chosen))


def test_a_proxy_for_http(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    host = urlsplit(place.url).netloc
    with forward_proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        works(opened(place.folder, options(place.url)), data=LARGE)
        assert {f"GET {host}", f"PUT {host}", f"POST {host}"} <= set(proxy.asked)
        proxy.asked.clear()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        works(opened(place.folder / "none", options(place.url)))
        assert proxy.asked == []


def test_a_tunnel_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_certificates(tmp_path)
    with forward_proxy() as proxy, serve_s3("minio", tls=(made.certificate, made.key)) as server:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        works(opened(tmp_path, options(server.url, ca_bundle=str(made.authority))), data=LARGE)
        assert set(proxy.asked) == {f"CONNECT {urlsplit(server.url).netloc}"}


def test_a_proxy_that_is_not_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with forward_proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
    with pytest.raises(StoreUnavailable, match="the proxy does not answer; check HTTPS_PROXY, or set NO_PROXY"):
        opened(place.folder, options(place.url)).lookup(NAMESPACE, ["a"])


@pytest.mark.parametrize(
    ("chosen", "said"), [({"sse": "AES256"}, "AES256"), ({"sse": "aws:kms", "kms_key": "layercache-key"}, "aws:kms")]
)
def test_the_server_encrypts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("MINIO_KMS_SECRET_KEY", f"layercache-key:{base64.b64encode(bytes(range(32))).decode()}")
    with serve_s3("minio") as server:
        store = opened(tmp_path, options(server.url, **chosen))
        works(store)
        works(store, data=LARGE)
        client = store._connection.client
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{tmp_path.name}/lc1/")["Contents"]
        heads = [client.head_object(Bucket=BUCKET, Key=entry["Key"]) for entry in listed if entry["Size"]]
        assert len(heads) >= 4
        assert {head["ServerSideEncryption"] for head in heads} == {said}
        if "kms_key" in chosen:
            assert all(head["SSEKMSKeyId"].endswith("layercache-key") for head in heads)
        assert LARGE[:1000] not in b"".join(path.read_bytes() for path in server.data.rglob("part.*"))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


def test_the_token_of_an_identity_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, issuer: Issuer) -> None:
    """As GitHub's OIDC and pods on EKS give one: a file, and a role, in the environment."""
    monkeypatch.setenv("MINIO_IDENTITY_OPENID_CONFIG_URL", issuer.url + CONFIGURATION)
    monkeypatch.setenv("MINIO_IDENTITY_OPENID_CLIENT_ID", CLIENT)
    monkeypatch.setenv("MINIO_IDENTITY_OPENID_CLAIM_NAME", "policy")
    token = tmp_path / "token"
    token.write_text(issuer.token(CLIENT, policy="readwrite"))
    with serve_s3("minio") as server:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
        monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        store = opened(tmp_path, S3Options(endpoint=server.url))
        works(store)
        credentials = store._connection.client._request_signer._credentials  # type: ignore[attr-defined]
        assert credentials.access_key != ACCESS_KEY
        assert credentials.token
        token.write_text(issuer.token("another audience", policy="readwrite"))
        with pytest.raises(StoreUnavailable, match=r"s3://cache/.*can't be used: "):
            opened(tmp_path, S3Options(endpoint=server.url)).lookup(NAMESPACE, ["a"])
