"""Alerts: one message when something goes wrong in Dagster (a finding), and one when it has recovered.

``event_log`` reads the instance as ``events``, ``findings`` decides which of them become alerts, ``texts`` writes their
texts, and ``delivery`` sends them through ``channels``. ``state`` carries over from one tick of the sensor to the next:
it is the sensor's cursor.
"""

from audit_pipeline.orchestration.alerts.alert import Alert
from audit_pipeline.orchestration.alerts.sensor import ALERT_SENSOR, build_alert_sensor

__all__ = ["ALERT_SENSOR", "Alert", "build_alert_sensor"]
