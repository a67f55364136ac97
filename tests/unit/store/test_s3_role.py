"""Who is shown the credentials with which a role is assumed."""

from __future__ import annotations

import os
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session

from layercache_ci.errors import StoreUnavailable
from layercache_ci.settings import S3Options
from layercache_ci.store.s3_connection import Connection
from layercache_ci.store.s3_settings import S3Settings

ROLE = "arn:aws:iam::123456789012:role/layercache"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of whom, in an environment that names nothing."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setattr("time.sleep", lambda _: None)
    urls: list[str] = []

    def send(_session: object, request: Any) -> None:
        urls.append(request.url)
        raise EndpointConnectionError(endpoint_url=request.url)

    monkeypatch.setattr(URLLib3Session, "send", send)
    return urls


def ask(options: S3Options) -> None:
    Connection(S3Settings("bucket", "", options)).page("")


@pytest.mark.parametrize(
    ("endpoint", "of_roles", "host"),
    [
        ("https://minio.example.com:9000", "", "https://minio.example.com:9000/"),
        ("https://minio.example.com:9000", "https://sts.example.com", "https://sts.example.com/"),
        ("https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com", "", "https://sts.eu-central-1.amazonaws.com/"),
        ("https://s3.eu-isoe-west-1.cloud.adc-e.uk", "", "https://sts.eu-central-1.amazonaws.com/"),
        ("https://s3.eusc-de-east-1.amazonaws.eu", "", "https://sts.eu-central-1.amazonaws.com/"),
        ("https://s3.eu-central-1.api.aws", "", "https://sts.eu-central-1.amazonaws.com/"),
        ("https://s3.amazonaws.com.example.org", "", "https://s3.amazonaws.com.example.org/"),
        (None, "", "https://sts.eu-central-1.amazonaws.com/"),
    ],
)
def test_the_keys_of_a_server_go_to_that_server(
    endpoint: str | None, of_roles: str, host: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if of_roles:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", of_roles)
    keys = S3Options(endpoint=endpoint, region="eu-central-1", access_key="key", secret_key="secret", role_arn=ROLE)
    with pytest.raises(StoreUnavailable, match="nobody listens"):
        ask(keys)
    assert set(asked) == {host}


def test_without_credentials_there_is_no_role(asked: list[str]) -> None:
    with pytest.raises(StoreUnavailable, match="no credentials were found"):
        ask(S3Options(region="eu-central-1", role_arn=ROLE))
    assert asked == []
