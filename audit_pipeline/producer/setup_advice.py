"""Errors of a wrong setup, which no retry in this process can fix, and advice on what to do."""

from typing import Final

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError

__all__ = ["setup_advice"]

_REGION: Final = "Set AWS_DEFAULT_REGION, or pass a make_client that returns a client with a region_name"
_CREDENTIALS: Final = (
    "Give this process credentials where boto3 looks for them (a role, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "AWS_PROFILE), or pass a make_client that returns a client with credentials"
)
_SETTINGS: Final = "Fix the configuration of boto3 in this process: AWS_ variables, the files in ~/.aws, make_client"
_INSTALLATION: Final = "Fix the installation of boto3 in this process"

#: Without errors of credentials that could not be fetched or have expired: these are temporary.
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


def setup_advice(error: BotoCoreError) -> str | None:
    """What to do about an error of the setup; None for every other error, which a retry may fix."""
    return next((advice for advice, kinds in _SETUP if isinstance(error, kinds)), None)
