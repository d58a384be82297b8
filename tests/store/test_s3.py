"""How S3 is opened, and how its errors read. Stores on a real S3 server are in ``engines/test_s3.py``."""

import pytest

from audit_pipeline.errors import SettingsError
from audit_pipeline.store import s3
from audit_pipeline.store.s3 import in_one_line, open_s3, s3_endpoint


@pytest.fixture
def endpoints(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without endpoints."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.usefixtures("endpoints")
def test_without_a_variable_the_endpoint_is_that_of_aws() -> None:
    assert s3_endpoint() is None


def test_the_endpoint_of_s3_goes_before_that_of_all_services(endpoints: pytest.MonkeyPatch) -> None:
    endpoints.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert s3_endpoint() == "http://127.0.0.1:1"
    endpoints.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example/path")
    assert s3_endpoint() == "https://s3.example/path"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_that_is_not_a_url_is_a_wrong_setting(name: str, endpoints: pytest.MonkeyPatch) -> None:
    endpoints.setenv(name, "127.0.0.1:9000")
    with pytest.raises(SettingsError, match=r"^AWS_ENDPOINT_URL is not an http:// or https:// URL: '127.0.0.1:9000'$"):
        s3_endpoint()


@pytest.mark.usefixtures("endpoints")
def test_a_url_without_a_bucket_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match=r"^'s3:///prefix' names no bucket: set s3://bucket/prefix$"):
        open_s3("s3:///prefix")


def test_an_error_has_its_first_line_and_the_code_and_message_of_s3() -> None:
    error = OSError(
        "Generic S3 error: Client error with status 403 Forbidden: <?xml version='1.0'?>\n"
        "<Error><Code>AccessDenied</Code><Message>not for you</Message><HostId>x</HostId></Error>\n\nDebug source:\n..."
    )
    assert in_one_line(error) == "Generic S3 error: Client error with status 403 Forbidden: AccessDenied: not for you"


@pytest.mark.parametrize(
    ("members", "stored"),
    [
        ("<StorageClass>GLACIER</StorageClass>", "GLACIER"),
        ("<StorageClass>DEEP_ARCHIVE</StorageClass>", "DEEP_ARCHIVE"),
        (
            "<StorageClass>INTELLIGENT_TIERING</StorageClass><AccessTier>DEEP_ARCHIVE_ACCESS</AccessTier>",
            "DEEP_ARCHIVE_ACCESS",
        ),
        ("", "Glacier"),
    ],
)
def test_an_archived_object_is_to_be_restored(members: str, stored: str) -> None:
    message = "The operation is not valid for the object's storage class"
    error = OSError(
        "The operation lacked the necessary privileges to complete for path a: Error performing GET https://x/a: "
        'Server returned non-2xx status code: 403 Forbidden: <?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>InvalidObjectState</Code><Message>{message}</Message>{members}</Error>\n\nDebug source:\n..."
    )
    assert in_one_line(error) == (
        f"InvalidObjectState: the object is archived ({stored}): restore it with S3's RestoreObject, wait until its "
        "copy is there, and try again"
    )


def test_an_error_without_an_answer_is_its_first_line() -> None:
    assert in_one_line(OSError("no route to host\n\nDebug source:\n...")) == "no route to host"


def test_the_number_of_retries_outlasts_a_throttled_bucket() -> None:
    """S3 says SlowDown for seconds, not for milliseconds."""
    backoff = s3._RETRY["backoff"]
    waits = [
        min(backoff["max_backoff"].total_seconds(), backoff["init_backoff"].total_seconds() * backoff["base"] ** n)
        for n in range(s3._RETRY["max_retries"])
    ]
    assert 15 < sum(waits) < s3._RETRY["retry_timeout"].total_seconds()
