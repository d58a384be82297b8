"""Alerts: what went wrong in Dagster becomes messages, one a finding, and one more when it is over.

``events`` reads the instance, ``findings`` decides what is new, ``texts`` words it, ``delivery`` sends it through
``channels``. ``state`` is what one look at the instance leaves to the next: it lives in the sensor's cursor.
"""

from audit_pipeline.orchestration.alerts.alert import Alert
from audit_pipeline.orchestration.alerts.sensor import ALERT_SENSOR, build_alert_sensor

__all__ = ["ALERT_SENSOR", "Alert", "build_alert_sensor"]
