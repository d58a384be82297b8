"""The settings of the channels, looked at when the definitions load: before the channels and their libraries are."""

from urllib.parse import urlsplit

from audit_pipeline.errors import SettingsError
from audit_pipeline.settings import Settings

__all__ = ["check_channels"]


def check_channels(settings: Settings) -> None:
    """:class:`SettingsError` for channels that are set up by half, or with a URL that is none."""
    if (settings.alert_slack_token is None) != (settings.alert_slack_channel is None):
        raise SettingsError("AUDIT_ALERT_SLACK_TOKEN and AUDIT_ALERT_SLACK_CHANNEL go together: set both or neither")
    if settings.alert_webhook_url is not None:
        url = urlsplit(settings.alert_webhook_url.get_secret_value())
        if url.scheme not in ("http", "https") or not url.hostname:
            raise SettingsError("AUDIT_ALERT_WEBHOOK_URL is wrong: give a URL that begins with https:// or http://")
