"""Starting the registry, and talking to one that runs."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import quote

from layercache_ci.errors import CacheError
from layercache_ci.layers.model import Descriptor
from layercache_ci.registry.model import AGENT, CONTROL, Access, Service, Status, descriptor_json
from layercache_ci.registry.sockets import address, listen
from layercache_ci.store.choice import StoreChoice
from layercache_ci.store.model import StepRecord

if TYPE_CHECKING:
    import http.client

__all__ = ["Access", "Registry", "Starting", "Status", "StoreChoice", "start"]

USER: Final = "layercache"
LOG: Final = "registry.log"

TIMEOUT: Final = 30.0
"""Seconds for one answer; nothing that we ask for waits for a store."""


def start(
    folder: Path,
    *,
    store: StoreChoice,
    owner: int,
    environment: Mapping[str, str],
    hosts: Sequence[str] = ("127.0.0.1",),
    expected: Sequence[tuple[str, str]] = (),
    python: str = sys.executable,
) -> Starting:
    """Start a registry on these addresses that keeps what it is given in `folder`, which is made. It ends by itself
    soon after the process `owner` does. Who asks for a manifest that is `expected` (repository, reference) waits until
    it is put. Returns at once. Raises CacheError where that can't be done."""
    try:
        sockets = listen(hosts)
    except OSError as error:
        raise CacheError(f"the registry can't be started on {', '.join(hosts)}: {error}") from error
    with ExitStack() as opened:
        for bound in sockets:
            opened.enter_context(bound)  # once the process has them they are its own: they end with it
        numbers = tuple(bound.fileno() for bound in sockets)
        password = secrets.token_urlsafe(24)
        service = Service(folder.absolute(), store, numbers, owner, USER, password, tuple(expected))
        process = _launch(service, environment, python)
        access = Access(tuple(map(address, sockets)), USER, password, service.folder, process.pid)
        return Starting(service, access, process)


def _launch(service: Service, environment: Mapping[str, str], python: str) -> subprocess.Popen[bytes]:
    # cheroot would take a socket that systemd passed to us for its own.
    kept = {name: value for name, value in environment.items() if name not in {"LISTEN_PID", "LISTEN_FDS"}}
    try:
        service.folder.mkdir(parents=True, exist_ok=True)
        with (service.folder / LOG).open("ab") as log:
            # -P: modules in the user's current folder are none of ours.
            return subprocess.Popen(
                [python, "-P", "-m", "layercache_ci", "serve"],
                env=kept,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                pass_fds=service.sockets,
            )
    except OSError as error:
        raise CacheError(f"the registry can't be started: {error}") from error


class Starting:
    """A registry that is about to answer. `registry` may be used already: whoever asks it waits. One of `wait` and
    `stop`, here or there, is to be called."""

    def __init__(self, service: Service, access: Access, process: subprocess.Popen[bytes]) -> None:
        self.registry = Registry(access, process)
        self._process = process
        with suppress(OSError):
            _pipe(process.stdin).write(json.dumps(service.to_json()).encode())
        with suppress(OSError):
            _pipe(process.stdin).close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, timeout: float = 10) -> Registry:
        """Raises CacheError where it does not answer within `timeout` seconds; it is ended then."""
        import http.client  # noqa: F401, PLC0415 - 30 ms, which the process takes to start anyway

        output = _pipe(self._process.stdout)
        readable, _, _ = select.select([output], [], [], timeout)
        line = output.readline() if readable else b""
        output.close()
        if not line:
            self.stop()
            raise CacheError(f"the registry did not start: {self.registry.last_words()}")
        return self.registry

    def stop(self) -> None:
        """Never mind. Never raises."""
        _end(self._process)


class Registry:
    """A registry that runs, also one that another process started (`process` is only known to that one). Where it has
    died every call raises CacheError, but for `stop` and `uploaded`, which don't ask it."""

    def __init__(self, access: Access, process: subprocess.Popen[bytes] | None = None) -> None:
        self.access = access
        self._process = process
        login = base64.b64encode(f"{access.user}:{access.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "User-Agent": AGENT}

    def offer(
        self, descriptors: Iterable[Descriptor], *, prefetch: bool = True, records: Iterable[StepRecord] = ()
    ) -> None:
        """Blobs of the store that may be asked for from now on. With `prefetch`, those of a distant store are fetched
        in the order given. `records` are those that name them: a store that finds its blobs by its records (the GitHub
        cache) is asked for them anew, in the registry's process."""
        value = {
            "descriptors": [descriptor_json(each) for each in descriptors],
            "prefetch": prefetch,
            "chains": [[each.namespace, [step.key for step in each.chain]] for each in records],
        }
        self._control("offer", value)

    def put_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> str:
        """The digest."""
        path = f"/v2/{repository}/manifests/{reference}"
        _, headers, _ = self._ask("PUT", path, data, {"Content-Type": media_type}, expected={201})
        return headers["Docker-Content-Digest"]

    def put_blob(self, repository: str, data: bytes, media_type: str) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        path = f"/v2/{repository}/blobs/uploads/?digest={quote(digest)}"
        self._ask("POST", path, data, {"Content-Type": "application/octet-stream"}, expected={201})
        return Descriptor(media_type, digest, len(data))

    def manifest(self, repository: str, reference: str) -> bytes | None:
        status, _, data = self._ask("GET", f"/v2/{repository}/manifests/{reference}", expected={200, 404})
        return data if status == 200 else None

    def uploaded(self, digest: str) -> Path | None:
        """The file of a blob that was uploaded in this run, verified; None where it was not, or was taken away."""
        path = self.access.folder / "blobs/sha256" / digest.removeprefix("sha256:")
        return path if path.is_file() else None

    def status(self) -> Status:
        _, _, data = self._ask("GET", f"{CONTROL}status", expected={200})
        value = json.loads(data)
        return Status(
            value["requests"],
            value["bytes_served"],
            value["blobs_served"],
            tuple(value["faults"]),
            frozenset(value["asked"]),
        )

    def own(self, pid: int) -> None:
        """The registry belongs to the process `pid` from now on."""
        self._control("own", {"pid": pid})

    def stop(self) -> None:
        """End it. Never raises."""
        if self._process is not None:
            _end(self._process)
            return
        with suppress(CacheError):
            self._control("stop", None)

    def last_words(self) -> str:
        """Of its log."""
        with suppress(OSError):
            lines = (self.access.folder / LOG).read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return "it said nothing"

    def _control(self, verb: str, value: Any) -> None:
        self._ask("POST", f"{CONTROL}{verb}", json.dumps(value).encode(), expected={200})

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        expected: set[int],
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        import http.client  # noqa: PLC0415 - by then it is there

        address = self.access.addresses[0]
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, {**self._headers, **(headers or {})})
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            said = f"{error!r}; {self.last_words()}"
            raise CacheError(f"the registry on {address} does not answer: {said}") from error
        finally:
            connection.close()
        if response.status not in expected:
            said = data.decode("utf-8", "replace")[:200]
            raise CacheError(f"the registry on {address} answered {method} {path} with {response.status}: {said}")
        return response.status, response.headers, data


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise CacheError("the registry was started without pipes")
    return pipe


def _end(process: subprocess.Popen[bytes]) -> None:
    _pipe(process.stdout).close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(OSError, subprocess.TimeoutExpired):
            process.send_signal(number)
            process.wait(3)
            return
