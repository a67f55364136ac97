"""An OpenID Connect issuer on the loopback: its configuration, its key, and tokens that it signed."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.lab.serving import serving

KEY_ID = "1"
CONFIGURATION = "/.well-known/openid-configuration"


@dataclass(slots=True)
class Issuer:
    url: str = ""
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def token(self, audience: str, **claims: str) -> str:
        now = int(time.time())
        said = {"iss": self.url, "sub": "repo:octo/repo", "aud": audience, "iat": now, "exp": now + 3600, **claims}
        return jwt.encode(said, self.key, algorithm="RS256", headers={"kid": KEY_ID})

    def document(self, path: str) -> dict[str, Any]:
        if path == CONFIGURATION:
            return {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        key = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]}


@contextlib.contextmanager
def issuing() -> Iterator[Issuer]:
    issuer = Issuer()
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, issuer))) as issuer.url:
        yield issuer


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, issuer: Issuer, *connection: Any) -> None:
        self._issuer = issuer
        super().__init__(*connection)

    def do_GET(self) -> None:
        data = json.dumps(self._issuer.document(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass
