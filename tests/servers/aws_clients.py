"""boto3 clients of the servers of the tests, and the environment in which applications find them."""

from typing import Any, Final

import boto3
from botocore.config import Config

__all__ = ["ACCESS_KEY", "AWS_VARIABLES", "REGION", "SECRET_KEY", "aws_client"]

ACCESS_KEY: Final = "test"
SECRET_KEY: Final = "testtest"
REGION: Final = "us-east-1"
#: What the AWS SDKs need besides the endpoint of a server.
AWS_VARIABLES: Final = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def aws_client(service: str, endpoint: str, *, secret: str = SECRET_KEY, attempts: int = 1, **config: Any) -> Any:
    """A client with this many attempts per request; ``config`` is botocore's."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
        config=Config(
            **{
                "retries": {"total_max_attempts": attempts},
                "connect_timeout": 5,
                "s3": {"addressing_style": "path"},
            }
            | config
        ),
    )
