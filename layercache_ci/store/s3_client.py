"""The client of AWS's SDK, set up for layers: the default chain for what is not said, bounded repeats."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import NoCredentialsError
from botocore.handlers import add_expect_header
from botocore.loaders import Loader
from botocore.session import Session, get_session

from layercache_ci.settings import S3Options
from layercache_ci.store.s3_settings import S3Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CONNECTIONS: Final = 32


def make_client(settings: S3Settings) -> S3Client:
    """Raises botocore's exceptions."""
    options = settings.options
    config = Config(
        # to send each piece of a body, too
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=CONNECTIONS,
        # four attempts, up to about seven seconds of waiting between them
        retries={"mode": "standard", "total_max_attempts": 4},
        request_checksum_calculation=options.checksums,
        # what is read is verified by sha256
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if settings.path_style else "auto", "payload_signing_enabled": False},
        user_agent_extra="layercache",
    )
    session = _session(options)
    # what boto3 would add, 0.1 s, is not used
    client: Any = session.create_client("s3", endpoint_url=options.endpoint, config=config, verify=options.ca_bundle)
    # a round trip for each upload: whether the server would take it
    client.meta.events.unregister("before-call.s3", add_expect_header)
    return cast("S3Client", client)


class _Services(Loader):
    """Takes every folder of data for a service: botocore looks into each of some 440 first, 0.05 s."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - the base class's
        folders = filter(os.path.isdir, self.search_paths)
        return [entry.name for folder in folders for entry in os.scandir(folder) if entry.is_dir()]


def _session(options: S3Options) -> Session:
    session = get_session()
    paths = session.get_component("data_loader").search_paths
    session.register_component("data_loader", _Services(extra_search_paths=paths, include_default_search_paths=False))
    region = options.region or session.get_config_variable("region")
    if region is None and options.endpoint is not None:
        region = "us-east-1"  # what servers of one's own take for theirs
    session.set_config_variable("region", region)
    if options.access_key is not None:
        session.set_credentials(options.access_key, options.secret_key or "", options.session_token)
    if options.role_arn is not None:
        _assume(session, options, options.role_arn)
    return session


def _assume(session: Session, options: S3Options, role_arn: str) -> None:
    """The role's credentials from now on, renewed by themselves."""
    given = session.get_credentials()
    if given is None:
        raise NoCredentialsError
    make: Any = session.create_client
    if _gives_roles(options.endpoint, session):
        make = partial(make, endpoint_url=options.endpoint, verify=options.ca_bundle)
    fetcher = AssumeRoleCredentialFetcher(make, given, role_arn, extra_args={"RoleSessionName": "layercache"})
    assumed = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
    session._credentials = assumed  # type: ignore[attr-defined]  # noqa: SLF001 - the one way to set renewed ones


def _gives_roles(endpoint: str | None, session: Session) -> bool:
    """Whether it is a server of one's own, whose keys are none of AWS's business, and no other was named for roles."""
    host = urlsplit(endpoint or "").hostname or ""
    return bool(host) and "AWS_ENDPOINT_URL_STS" not in os.environ and not host.endswith(_of_aws(session))


def _of_aws(session: Session) -> tuple[str, ...]:
    """How the names of AWS's own hosts end, in each of its partitions."""
    partitions = session.get_component("data_loader").load_data("partitions")["partitions"]
    suffixes = ("dnsSuffix", "dualStackDnsSuffix")
    return tuple({f".{each['outputs'][name]}" for each in partitions for name in suffixes if name in each["outputs"]})
