"""Ways to the cache service: a certificate authority of one's own (REQUESTS_CA_BUNDLE), and proxies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from layercache_ci.errors import StoreUnavailable
from layercache_ci.store.github import open_github
from layercache_ci.store.github.store import GithubStore
from layercache_ci.store.model import Match
from tests.contract.samples import NAMESPACE, read_blob, save
from tests.fakes.github_cache import CacheServer
from tests.fakes.github_cache.rest import TOKEN
from tests.integration.store.github.conftest import MAIN
from tests.lab.certificates import Certificates, make_certificates
from tests.lab.relay import forward_proxy, tls_before

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
def secured(server: CacheServer, certificates: Certificates) -> Iterator[CacheServer]:
    """The service, its blob host and the REST API, by https alone."""
    with tls_before(server.url, certificates) as server.url:
        yield server


def opened(server: CacheServer, folder: Path) -> GithubStore:
    rest = {"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "octo/repo", "GITHUB_API_URL": server.url}
    return open_github("", environment=server.environment() | rest, scopes=MAIN, folder=folder)


def works(server: CacheServer, folder: Path) -> None:
    saved = save(opened(server, folder), [("a", b"1" * 1000), ("b", b"2" * 300_000)])
    store = opened(server, folder)
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(saved, 2)
    assert read_blob(store, saved.chain[1].layers[0].blob) == b"2" * 300_000
    assert store.stats().records == 1


def test_a_certificate_of_an_authority_of_ones_own(
    secured: CacheServer, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreUnavailable, match=r"not trusted \(REQUESTS_CA_BUNDLE names one that is\)"):
        opened(secured, tmp_path).lookup(NAMESPACE, ["a"])
    with pytest.raises(StoreUnavailable, match=r"not trusted \(REQUESTS_CA_BUNDLE names one that is\)"):
        opened(secured, tmp_path).stats()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
    works(secured, tmp_path)


def test_a_proxy_for_http(server: CacheServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = urlsplit(server.url).netloc
    with forward_proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        works(server, tmp_path)
        assert {f"POST {host}", f"PUT {host}", f"GET {host}"} == set(proxy.asked)
        proxy.asked.clear()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        works(server, tmp_path)
        assert proxy.asked == []


def test_a_tunnel_through_a_proxy(
    secured: CacheServer, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
    with forward_proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        works(secured, tmp_path)
        assert set(proxy.asked) == {f"CONNECT {urlsplit(secured.url).netloc}"}
    with pytest.raises(StoreUnavailable, match="can't be reached through the proxy"):
        opened(secured, tmp_path).lookup(NAMESPACE, ["a"])
