"""The sensor that looks and sends. It asks for no runs."""

import logging
from datetime import UTC, datetime
from typing import Final

import dagster as dg
from msgspec.structs import replace

from audit_pipeline.orchestration.alerts.checked import check_channels
from audit_pipeline.orchestration.alerts.look import look, start
from audit_pipeline.orchestration.alerts.state import State, UnreadableStateError, decode, encode
from audit_pipeline.settings import Settings

__all__ = ["ALERT_SENSOR", "build_alert_sensor", "tick"]

ALERT_SENSOR: Final = "audit_log_alerts"


def build_alert_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor, off until someone turns it on. :class:`audit_pipeline.errors.SettingsError` for a channel's."""
    check_channels(settings)

    @dg.sensor(
        name=ALERT_SENSOR,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Failed checks and runs, missed deadlines, late files: a message each, and one when it is over.",
    )
    def audit_log_alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = tick(context.instance, settings, context.cursor, datetime.now(UTC), context.log)
        return dg.SensorResult(cursor=cursor, skip_reason=dg.SkipReason("alerts ask for no runs"))

    return audit_log_alerts


def tick(
    instance: dg.DagsterInstance, settings: Settings, cursor: str | None, now: datetime, log: logging.Logger
) -> str:
    """Look, send, and the next cursor."""
    # late: the libraries of the channels take half a second, and one of them opens a socket when it is imported
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
            "%s. Alerts begin anew, with what happens from now on. What was open or not delivered is lost here: "
            "see the alert file",
            error,
        )
        return start(instance)
