"""What the clients of AWS share: region, credentials, retries, and how their errors are reported."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from audit_pipeline.errors import AuditPipelineError, QueryError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient
    from mypy_boto3_glue import GlueClient

__all__ = ["athena_client", "aws_errors", "glue_client", "glue_jobs_client", "logs_client"]

_NOT_SET_UP: Final = (
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
#: Three attempts of each request, with a pause between them: also where AWS throttles or a connection breaks.
_CONFIG: Final = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=10, read_timeout=60)
#: One attempt, for callers that must see each one: a StartJobRun that is sent twice starts two runs.
_ONE_ATTEMPT: Final = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=10, read_timeout=60)


def athena_client() -> "AthenaClient":
    """A client of Athena; :class:`SettingsError` where no region or profile is found."""
    with aws_errors("Athena"):
        return boto3.Session().client("athena", config=_CONFIG, region_name=_region())


def glue_client() -> "GlueClient":
    """A client of the Glue catalog, which Athena reads; :class:`SettingsError` where no region or profile is found."""
    with aws_errors("Glue"):
        return boto3.Session().client("glue", config=_CONFIG, region_name=_region())


def glue_jobs_client() -> "GlueClient":
    """A client of Glue for its jobs, without retries; :class:`SettingsError` where no region or profile is found."""
    with aws_errors("Glue"):
        return boto3.Session().client("glue", config=_ONE_ATTEMPT, region_name=_region())


def logs_client() -> Any:
    """A client of CloudWatch Logs; :class:`SettingsError` where no region or profile is found."""
    with aws_errors("CloudWatch Logs"):
        return boto3.Session().client("logs", config=_CONFIG, region_name=_region())


@contextmanager
def aws_errors(service: str, kind: type[AuditPipelineError] = QueryError) -> Iterator[None]:
    """Turn botocore's errors into :class:`SettingsError` or ``kind``, one line each."""
    try:
        yield
    except _NOT_SET_UP as error:
        raise SettingsError(
            f"{service} cannot be used: {_in_one_line(error)} (set AWS_REGION, and AWS_PROFILE, "
            "AWS_ACCESS_KEY_ID or a role)"
        ) from error
    except ClientError as error:
        details = error.response.get("Error", {})
        code, message = details.get("Code", "unknown error"), details.get("Message", "")
        raise kind(f"{service} refused {error.operation_name}: {code}: {' '.join(message.split())}") from error
    except BotoCoreError as error:
        raise kind(f"cannot reach {service}: {_in_one_line(error)}") from error


def _region() -> str | None:
    # every other SDK, and so the store, reads this variable; boto3 only reads AWS_DEFAULT_REGION
    return os.environ.get("AWS_REGION")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
