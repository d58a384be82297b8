"""S3 as the store opens it: endpoint, credentials, retries, and errors in one line.

Credentials and region come from where boto3 finds them, the endpoint from ``AWS_*`` variables.
"""

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from audit_pipeline.errors import SettingsError, StoreError

__all__ = ["in_one_line", "list_keys", "open_s3", "s3_endpoint"]

_RETRY: Final[Any] = {
    "max_retries": 8,
    "retry_timeout": timedelta(minutes=3),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=10), "base": 2},
}
#: Shorter than the ten minutes before expiry at which boto3 renews a role's keys.
_CREDENTIALS_TTL: Final = timedelta(minutes=5)
_CLIENT: Final[Any] = {"timeout": "120s", "connect_timeout": "10s"}

#: S3's code for a read of an object in Glacier Flexible Retrieval, Glacier Deep Archive or an archive tier of
#: Intelligent-Tiering, with its StorageClass and AccessTier:
#: https://docs.aws.amazon.com/botocore/latest/reference/services/s3/client/exceptions/InvalidObjectState.html
_ARCHIVED: Final = "InvalidObjectState"


def s3_endpoint() -> str | None:
    """The URL of another S3 than AWS's, from ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``, as boto3 reads them.

    :class:`SettingsError` where it is not an http:// or https:// URL.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint and not re.fullmatch(r"https?://[^\s/?#]+(/\S*)?", endpoint):
        raise SettingsError(f"AWS_ENDPOINT_URL is not an http:// or https:// URL: {endpoint!r}")
    return endpoint


def _credential_provider(url: str) -> Any:
    """Credentials from boto3's chain: profiles, and the roles of ECS, EC2 and Glue.

    None where the environment has the keys, which obstore reads by itself, without the time that boto3 takes to load;
    and where there are none at all, which obstore reports at the first request.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_SECRET_ACCESS_KEY"):
        return None
    from botocore.exceptions import BotoCoreError
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return Boto3CredentialProvider(ttl=_CREDENTIALS_TTL)
    except BotoCoreError as error:
        raise SettingsError(f"cannot open {url}, as AWS settings are wrong: {error}") from error
    except ValueError:  # boto3 finds no credentials
        return None


def open_s3(url: str) -> S3Store:
    """The store at ``s3://bucket/prefix``; :class:`SettingsError` where it cannot be opened."""
    parts = urlsplit(url)
    if not parts.netloc:
        raise SettingsError(f"{url!r} names no bucket: set s3://bucket/prefix")
    endpoint = s3_endpoint()
    config: Any = {}
    if endpoint:
        # other servers than AWS's rarely have a host name for each bucket
        config = {"endpoint": endpoint, "virtual_hosted_style_request": False}
    client: Any = _CLIENT | {"allow_http": bool(endpoint and endpoint.startswith("http://"))}
    try:
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config=config,
            client_options=client,
            retry_config=_RETRY,
            credential_provider=_credential_provider(url),
        )
    except BaseError as error:
        raise SettingsError(f"cannot open {url} with these AWS_* variables: {in_one_line(error)}") from error


def list_keys(url: str, prefix: str) -> Iterator[tuple[str, int, str, datetime]]:
    """Key relative to ``url``, size, e_tag and time of every object under a prefix, by boto3, whatever its key.

    Ten times slower than obstore's listing. Raises :class:`StoreError`.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    parts = urlsplit(url)
    base = "".join(f"{part}/" for part in (parts.path.strip("/"),) if part)
    endpoint = s3_endpoint()
    config = Config(
        retries={"mode": "standard", "total_max_attempts": _RETRY["max_retries"]},
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    try:
        client = boto3.Session().client(
            "s3", config=config, endpoint_url=endpoint, region_name=os.environ.get("AWS_REGION")
        )
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=parts.netloc, Prefix=base + (f"{prefix.rstrip('/')}/" if prefix else "")
        )
        for page in pages:
            for item in page.get("Contents", []):
                yield item["Key"].removeprefix(base), item["Size"], item["ETag"], item["LastModified"]
    except (BotoCoreError, ClientError) as error:
        raise StoreError(f"cannot list {url}/{prefix}: {' '.join(str(error).split())}") from error


def in_one_line(error: Exception) -> str:
    """The first line of an error of obstore and, where it has the XML of an answer of S3, its code and message."""
    text = str(error).strip()
    if _in_answer("Code", text) == _ARCHIVED:
        # obstore, as for every 403, reports a lack of privileges
        stored = _in_answer("AccessTier", text) or _in_answer("StorageClass", text) or "Glacier"
        return (
            f"{_ARCHIVED}: the object is archived ({stored}): restore it with S3's RestoreObject, wait until its copy "
            "is there, and try again"
        )
    details = [found for part in ("Code", "Message") if (found := _in_answer(part, text))]
    first_line = text.split("\n", 1)[0].split("<?xml", 1)[0].split("<Error>", 1)[0].rstrip(" :")
    return ": ".join([first_line, *details])


def _in_answer(part: str, text: str) -> str | None:
    found = re.search(rf"<{part}>([^<\n]*)</{part}>", text)
    return found[1] if found else None
