"""Errors of a process that was set up wrongly, and what to do about them: no attempt of it will ever do better."""

from typing import Final

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError

__all__ = ["what_to_do"]

_REGION: Final = "Set AWS_DEFAULT_REGION, or give make_client a client with a region_name"
_CREDENTIALS: Final = (
    "Give this process credentials where boto3 looks for them (a role, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "AWS_PROFILE), or give make_client a client that has them"
)
_SETTINGS: Final = "Mend what boto3 is told in this process: AWS_ variables, the files in ~/.aws, make_client"
_INSTALLATION: Final = "Mend the installation of boto3 in this process"

#: Not those of credentials or tokens that are fetched and cannot be had, or have expired, at the moment.
_SETUP: Final[tuple[tuple[str, tuple[type[BotoCoreError], ...]], ...]] = (
    (
        _REGION,
        (boto.NoRegionError, boto.InvalidRegionError, boto.UnknownRegionError, boto.UnknownEndpointError),
    ),
    (
        _CREDENTIALS,
        (boto.NoCredentialsError, boto.PartialCredentialsError, boto.ProfileNotFound, boto.UnknownCredentialError),
    ),
    (
        _SETTINGS,
        (
            boto.ConfigNotFound,
            boto.ConfigParseError,
            boto.EndpointProviderError,
            boto.EndpointVariantError,
            boto.InvalidConfigError,
            boto.InvalidDefaultsMode,
            boto.InvalidDNSNameError,
            boto.InvalidEndpointConfigurationError,
            boto.InvalidIMDSEndpointError,
            boto.InvalidIMDSEndpointModeError,
            boto.InvalidProxiesConfigError,
            boto.InvalidRetryConfigurationError,
            boto.UnsupportedS3ConfigurationError,
        ),
    ),
    (
        _INSTALLATION,
        (boto.DataNotFoundError, boto.MissingDependencyException, boto.UnsupportedServiceProtocolsError),
    ),
)


def what_to_do(error: BotoCoreError) -> str | None:
    """None where a later attempt may do better."""
    return next((advice for advice, kinds in _SETUP if isinstance(error, kinds)), None)
