"""The alert sensor: each tick looks at the instance and sends the alerts. It requests no runs."""

import logging
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import dagster as dg
from msgspec.structs import replace

from audit_pipeline.errors import SettingsError
from audit_pipeline.orchestration.alerts.look import look, start
from audit_pipeline.orchestration.alerts.state import State, UnreadableStateError, decode, encode
from audit_pipeline.settings import Settings

__all__ = ["ALERT_SENSOR", "build_alert_sensor", "tick"]

ALERT_SENSOR: Final = "audit_log_alerts"


def build_alert_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor, off until someone turns it on. Raises :class:`SettingsError` for a wrong setting of a channel."""
    _check_channels(settings)

    @dg.sensor(
        name=ALERT_SENSOR,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Sends an alert for each failed check or run, missed deadline and late file, and for its recovery.",
    )
    def audit_log_alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = tick(context.instance, settings, context.cursor, datetime.now(UTC), context.log)
        return dg.SensorResult(cursor=cursor, skip_reason=dg.SkipReason("this sensor requests no runs"))

    return audit_log_alerts


def tick(
    instance: dg.DagsterInstance, settings: Settings, cursor: str | None, now: datetime, log: logging.Logger
) -> str:
    """Look at the instance and send the alerts. Returns the next cursor."""
    # not at the top: the libraries of the channels take half a second, and one of them opens a socket on import
    from audit_pipeline.orchestration.alerts.channels import open_channels
    from audit_pipeline.orchestration.alerts.delivery import deliver

    before = _state_of(instance, cursor, log)
    after, alerts = look(instance, settings, before, now)
    outbox = deliver(after.outbox, alerts, open_channels(settings, instance, log), log)
    return encode(replace(after, outbox=tuple(outbox)))


def _state_of(instance: dg.DagsterInstance, cursor: str | None, log: logging.Logger) -> State:
    if cursor is None:
        return start(instance)
    try:
        return decode(cursor)
    except UnreadableStateError as error:
        log.error(
            "%s. Alerts start over with what happens from now on. Open findings and undelivered alerts are lost: "
            "see the alert file",
            error,
        )
        return start(instance)


def _check_channels(settings: Settings) -> None:
    """:class:`SettingsError` for a channel that is only half configured, or a URL that is not one.

    This is checked when the definitions load, which is before the channels and their libraries do.
    """
    if (settings.alert_slack_token is None) != (settings.alert_slack_channel is None):
        raise SettingsError("AUDIT_ALERT_SLACK_TOKEN and AUDIT_ALERT_SLACK_CHANNEL go together: set both or neither")
    if settings.alert_webhook_url is not None:
        url = urlsplit(settings.alert_webhook_url.get_secret_value())
        if url.scheme not in ("http", "https") or not url.hostname:
            raise SettingsError("AUDIT_ALERT_WEBHOOK_URL is wrong: give a URL that begins with https:// or http://")
