"""The registry's process: who may ask it, where it listens, when it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layercache_ci.errors import CacheError
from layercache_ci.layers.model import Descriptor
from layercache_ci.registry.client import Registry, StoreChoice, start
from tests.integration.registry.conftest import Ask, StartRegistry, authorization

DIGEST = f"sha256:{'0' * 64}"


def ended(registry: Registry, seconds: float = 30) -> bool:
    """Whether it ends within that time. It is our child: /proc tells of it until somebody waits for it."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        state = Path(f"/proc/{registry.access.pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("path", ["/v2/", f"/v2/a/blobs/{DIGEST}", "/layercache/status", "/"])
def test_nothing_is_open(registry: Registry, ask: Ask, path: str) -> None:
    for headers in ({"Authorization": ""}, authorization(registry.access, "wrong"), {"Authorization": "Basic \xe9"}):
        answer = ask("GET", path, headers=headers)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="layercache"')
        assert json.loads(answer.data)["errors"][0]["code"] == "UNAUTHORIZED"


def test_the_password_is_in_no_list_of_processes(registry: Registry) -> None:
    proc = Path(f"/proc/{registry.access.pid}")
    shown = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
    assert b"serve" in shown
    assert registry.access.password.encode() not in shown


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"/v2/a/blobs/{DIGEST}", 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/a/blobs/sha256:abc", 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/manifests/latest", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/a/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", f"/v2/a/referrers/{DIGEST}", 404, "NAME_INVALID"),
        ("GET", "/v2/../manifests/latest", 404, "NAME_INVALID"),
        ("PATCH", "/v2/a/blobs/uploads/0123", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("DELETE", "/v2/a/manifests/latest", 405, "UNSUPPORTED"),
    ],
)
def test_errors_are_written_as_the_spec_has_them(ask: Ask, method: str, path: str, status: int, code: str) -> None:
    answer = ask(method, path)
    assert (answer.status, json.loads(answer.data)["errors"][0]["code"]) == (status, code)


def test_one_whose_owner_has_gone_before_it_answers_ends(tmp_path: Path) -> None:
    """It has nobody to tell that it serves, and what serves must not keep it."""
    starting = start(
        tmp_path / "registry",
        store=StoreChoice(f"local:{tmp_path / 'store'}", tmp_path / "store", ("default",), None),
        owner=os.getpid(),
        environment=os.environ,
    )
    process = starting._process
    assert process.stdout is not None
    process.stdout.close()

    assert process.wait(30) == 2
    assert b"Broken pipe" in (tmp_path / "registry/registry.log").read_bytes()


def test_several_addresses_share_a_port_and_are_told_apart(start_registry: StartRegistry) -> None:
    registry = start_registry(hosts=("127.0.0.1", "127.0.0.2"))
    first, second = registry.access.addresses
    assert first.partition(":")[2] == second.partition(":")[2]
    import http.client

    connection = http.client.HTTPConnection(second, timeout=30)
    connection.request("GET", "/v2/a/manifests/b", headers=authorization(registry.access))
    assert connection.getresponse().status == 404
    connection.close()
    assert registry.status().asked == {f"{second} a:b"}


def test_it_says_why_it_does_not_start(tmp_path: Path) -> None:
    store = StoreChoice("local", tmp_path, ("default",), None)
    with pytest.raises(CacheError, match=r"can't be started on 192\.0\.2\.1"):
        start(tmp_path, store=store, hosts=("192.0.2.1",), owner=os.getpid(), environment=os.environ)
    nowhere = StoreChoice("nowhere:x", tmp_path, ("default",), None)
    starting = start(tmp_path, store=nowhere, owner=os.getpid(), environment=os.environ)
    with pytest.raises(CacheError, match="names no store"):
        starting.wait(30)
    early = start(tmp_path, store=nowhere, owner=os.getpid(), environment=os.environ).registry
    with pytest.raises(CacheError, match=r"does not answer: .*names no store"):
        early.status()
    early.stop()


def test_who_asks_before_it_is_up_and_for_what_is_expected_waits(tmp_path: Path) -> None:
    store = StoreChoice("local", tmp_path, ("default",), None)
    starting = start(tmp_path, store=store, owner=os.getpid(), environment=os.environ, expected=[("a", "b")])
    registry = starting.registry
    try:
        with ThreadPoolExecutor() as pool:
            early = pool.submit(registry.manifest, "a", "b")
            assert registry.manifest("a", "c") is None
            assert not early.done()
            registry.put_manifest("a", "b", b"{}", "x")
            assert early.result() == b"{}"
    finally:
        registry.stop()


def test_a_start_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    store = StoreChoice("local", tmp_path, ("default",), None)
    starting = start(tmp_path, store=store, owner=os.getpid(), environment=os.environ)
    pid = starting.pid
    starting.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_modules_of_the_current_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_registry: StartRegistry
) -> None:
    (tmp_path / "cheroot.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert start_registry().status().requests == 0


def test_stop_ends_it_and_calls_fail_then(registry: Registry) -> None:
    registry.stop()
    registry.stop()
    assert not Path(f"/proc/{registry.access.pid}").exists()
    with pytest.raises(CacheError, match="does not answer"):
        registry.status()


def test_another_process_may_stop_it(registry: Registry) -> None:
    Registry(registry.access).stop()
    assert ended(registry)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_registry_that_is_killed_is_a_fault_of_the_cache(registry: Registry, number: signal.Signals) -> None:
    os.kill(registry.access.pid, number)
    assert ended(registry)
    for call in (
        lambda: registry.offer([Descriptor("x", DIGEST, 1)]),
        lambda: registry.put_manifest("a", "b", b"{}", "x"),
        lambda: registry.put_blob("a", b"x", "x"),
        lambda: registry.manifest("a", "b"),
        lambda: registry.own(1),
    ):
        with pytest.raises(CacheError):
            call()


def test_it_does_not_outlive_its_owner(start_registry: StartRegistry) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        registry = start_registry(owner=owner.pid)
        assert registry.status().faults == ()
    assert ended(registry)
    log = (registry.access.folder / "registry.log").read_text()
    assert "nobody needs this registry any more" in log


def test_it_follows_another_owner(start_registry: StartRegistry) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        registry = start_registry(owner=owner.pid)
        registry.own(os.getpid())
    assert not ended(registry, 5)
    assert registry.status().faults == ()
