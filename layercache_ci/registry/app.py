"""The registry as a WSGI application: who may ask, what they ask for, and what was given."""

from __future__ import annotations

import base64
import hmac
import json
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

from layercache_ci.errors import BlobNotFound, CacheError
from layercache_ci.registry.distribution import Distribution
from layercache_ci.registry.http import Interrupted, Refused, Request, Response, error_response, json_response
from layercache_ci.registry.model import AGENT, CONTROL, descriptor_of
from layercache_ci.registry.offers import Offers

CONTROL_LIMIT: Final = 64 << 20
"""Bytes of one of our own requests."""


class Account:
    """What was asked for and given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = 0
        self._served: Counter[str] = Counter()
        self._asked: set[str] = set()

    def request(self) -> None:
        with self._lock:
            self._requests += 1

    def asked(self, tag: str) -> None:
        with self._lock:
            self._asked.add(tag)

    def served(self, digest: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            # Before it goes: who asks for the status after the last byte came must find that byte counted.
            with self._lock:
                self._served[digest] += len(piece)
            yield piece

    def to_json(self) -> dict[str, Any]:
        with self._lock:
            return {
                "requests": self._requests,
                "bytes_served": self._served.total(),
                "blobs_served": dict(self._served),
                "asked": sorted(self._asked),
            }


class App:
    """`own` and `stop` are what the control paths of these names call."""

    def __init__(
        self,
        *,
        login: tuple[str, str],
        distribution: Distribution,
        offers: Offers,
        account: Account,
        own: Callable[[int], None],
        stop: Callable[[], None],
    ) -> None:
        self._authorization = b"Basic " + base64.b64encode(":".join(login).encode())
        self._distribution = distribution
        self._offers = offers
        self._account = account
        self._own = own
        self._stop = stop

    def admits(self, authorization: bytes) -> bool:
        """Whether this is the login, as a request's Authorization has it."""
        return hmac.compare_digest(authorization, self._authorization)

    def answer(self, environment: WSGIEnvironment, start_response: StartResponse, *, address: str) -> Iterable[bytes]:
        """WSGI's entry, but for the address that the request came in by."""
        request = Request.read(environment, address)
        response = self._response(request)
        # RFC 9110, 8.6: a 204 has none.
        length = {} if response.status == 204 else {"Content-Length": str(response.content_length)}
        headers = {**response.headers, **length}
        start_response(response.line, list(headers.items()))
        return () if request.method == "HEAD" else response.body

    def _response(self, request: Request) -> Response:
        try:
            try:
                self._admit(request)
                response = self._control(request) if request.path.startswith(CONTROL) else self._distribute(request)
            finally:
                request.drain()
        except Refused as error:
            return error_response(error)
        except Interrupted as error:
            return error_response(Refused(400, "BLOB_UPLOAD_INVALID", str(error)))
        except BlobNotFound as error:
            return error_response(Refused(404, "BLOB_UNKNOWN", str(error)))
        except CacheError as error:
            return error_response(Refused(502, "UNAVAILABLE", str(error)))
        except Exception as error:  # noqa: BLE001 - a mistake of ours is an answer and a line in the log, not the end
            traceback.print_exc(file=sys.stderr)
            return error_response(Refused(500, "UNKNOWN", repr(error)))
        return response

    def _admit(self, request: Request) -> None:
        if not self.admits(request.header("Authorization").encode()):
            challenge = {"WWW-Authenticate": 'Basic realm="layercache"'}
            raise Refused(401, "UNAUTHORIZED", "this registry has a password", challenge)

    def _distribute(self, request: Request) -> Response:
        if request.header("User-Agent") != AGENT:
            self._account.request()
        return self._distribution.respond(request)

    def _control(self, request: Request) -> Response:
        verb = request.path.removeprefix(CONTROL)
        if verb == "status" and request.method == "GET":
            return json_response({**self._account.to_json(), "faults": self._offers.faults})
        if request.method != "POST":
            raise Refused(405, "UNSUPPORTED", f"{request.method} {request.path}")
        value = json.loads(request.text(CONTROL_LIMIT) or b"null")
        match verb:
            case "offer":
                descriptors = [descriptor_of(each) for each in value["descriptors"]]
                self._offers.offer(descriptors, prefetch=value["prefetch"], chains=value["chains"])
            case "own":
                self._own(value["pid"])
            case "stop":
                self._stop()
            case _:
                raise Refused(404, "UNSUPPORTED", f"{request.method} {request.path}")
        return json_response({})
