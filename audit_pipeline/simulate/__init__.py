"""Simulated audit traffic: raw hour folders as EventBridge and Firehose write them, for demos, tests and benches.

:func:`simulate` writes them to a store, :func:`raw_objects` yields them. :class:`Shares` sets how often which fault
occurs, :class:`Firehose` how the records are buffered.
"""

from audit_pipeline.simulate.firehose import Firehose
from audit_pipeline.simulate.simulation import Counts, Progress, Simulated, raw_objects, simulate
from audit_pipeline.simulate.traffic import Incident, Shares

__all__ = ["Counts", "Firehose", "Incident", "Progress", "Shares", "Simulated", "raw_objects", "simulate"]
