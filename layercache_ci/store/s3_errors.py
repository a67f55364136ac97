"""What S3 and its client answer when something is wrong, as one line with cause and remedy."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from botocore import exceptions as aws

from layercache_ci.settings import without_credentials
from layercache_ci.store.s3_settings import S3Settings

NOT_FOUND: Final = frozenset({"NoSuchKey", "404", "NotFound"})
"""Codes for an object that is not there; a HEAD has no body to say more."""

_CLOCK: Final = "this machine's clock differs too much from the server's; set it (NTP)"
_EXPIRED: Final = "the credentials have expired; get new ones (a longer session, or a role that the SDK renews itself)"
_SESSION: Final = "the session token is not the keys' own; set AWS_SESSION_TOKEN anew, or unset it"
_KEYS: Final = "the server does not know the access key; check AWS_ACCESS_KEY_ID and --s3-endpoint"
_NO_CREDENTIALS: Final = (
    "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or let the runner have a "
    "role (OIDC, instance or pod)"
)

_CODES: Final = MappingProxyType({
    "RequestTimeTooSkewed": _CLOCK,
    "SignatureDoesNotMatch": (
        "the signature is wrong; check AWS_SECRET_ACCESS_KEY, --s3-region, and that no proxy changes requests"
    ),
    "InvalidAccessKeyId": _KEYS,
    "InvalidClientTokenId": _KEYS,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "InvalidToken": _SESSION,
    "InvalidTokenId": _SESSION,
    "NoSuchBucket": "there is no such bucket; make it, or correct --store (and --s3-endpoint)",
    "InvalidBucketName": "that is no bucket's name; correct --store",
    "SlowDown": "the server asks for fewer requests; run fewer builds at once, or give the store a prefix of its own",
    "InvalidIdentityToken": "the identity token was refused; check the identity provider of the role (docs/s3.md)",
    "AccessDeniedException": "the role was refused; check its policy",
    "QuotaExceeded": "its quota is used up; raise it, or remove old objects by a lifecycle rule (docs/s3.md)",
    "XMinioStorageFull": "the server's disk is full; free some",
    "EntityTooLarge": "the server takes no object as large as this layer; raise its limit",
    "NotImplemented": "the server lacks a feature; leave --s3-sse out, or see docs/s3.md for servers that work",
})  # fmt: skip

_REGION_CODES: Final = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "301", "AuthorizationHeaderMalformed", "InvalidRegion"}
)  # fmt: skip

_EXCEPTIONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aws.NoCredentialsError, _NO_CREDENTIALS),
    (aws.PartialCredentialsError, "half of the credentials is missing; set both key and secret"),
    (aws.CredentialRetrievalError, "credentials could not be had; check the profile or the role that gives them"),
    (aws.ProfileNotFound, "the profile is not there; check AWS_PROFILE"),
    (aws.TokenRetrievalError, "the login has expired; log in again (aws sso login)"),
    (aws.UnauthorizedSSOTokenError, "the login has expired; log in again (aws sso login)"),
    (aws.NoRegionError, "no region is given; add --s3-region or set AWS_REGION"),
    (aws.InvalidRegionError, "the region is no name of one; correct --s3-region or AWS_REGION"),
    (aws.SSLError, "its certificate is not trusted; set AWS_CA_BUNDLE to the file of its CA, or correct the host name"),
    (aws.ProxyConnectionError, "the proxy does not answer; check HTTPS_PROXY, or set NO_PROXY for this host"),
    (aws.ConnectTimeoutError, "it does not answer; check --s3-endpoint, the network and its firewall"),
    (aws.EndpointConnectionError, "nobody listens there; check --s3-endpoint, and that the server runs"),
    (aws.ReadTimeoutError, "it stopped answering; try again later"),
    (aws.ConnectionClosedError, "it closed the connection; check that --s3-endpoint has the right scheme and port"),
)


def code_of(error: aws.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def explain(error: Exception, settings: S3Settings) -> str:
    """One line for a person. It holds what the server said of itself, never a key or a signature."""
    place = settings.location
    if settings.options.endpoint is not None:
        place += f" (at {without_credentials(settings.options.endpoint)})"
    return f"the store in {place} can't be used: {_cause(error)}"


def _cause(error: Exception) -> str:
    if isinstance(error, aws.ClientError):
        return _answer(error)
    for kind, cause in _EXCEPTIONS:
        if isinstance(error, kind):
            return cause
    return " ".join(str(error).split())


def _answer(error: aws.ClientError) -> str:
    code, response = code_of(error), error.response
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _REGION_CODES:
        return f"the bucket is in {_region(response)}; {_REGION_REMEDY}"
    if code in _CODES:
        return f"{_CODES[code]} ({code})"
    if code in ("AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem"):
        return (
            f"these credentials may not do {error.operation_name}; let the policy allow it (docs/s3.md has the least "
            f"that is needed), or give the run no scope to write ({code})"
        )
    said = " ".join(str(response.get("Error", {}).get("Message", "")).split())
    return f"{error.operation_name} was answered {status} {code}: {said or 'no reason was given'}"


_REGION_REMEDY: Final = "set --s3-region (or AWS_REGION) to it"


def _region(response: Any) -> str:
    """As the error names it, else as its headers do."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    named = response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
    return f"the region {named}" if named else "another region"
