"""Every name that this package imports from Dagster's private modules, each with the reason.

``dagster`` itself exports no equivalent of any of them. A change of the pinned Dagster has to be checked against this
list.
"""

from typing import TYPE_CHECKING

# An evaluation that is logged by hand must name its materialization, or the UI shows the check as out of date.
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

# `JobDefinition.execute_in_process` records no origin of its runs, and the UI's timeline leaves out runs without one.
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME

# The newest evaluation of a check is the newest of any partition unless the query has this filter.
from dagster._core.event_api import PartitionKeyFilter

# See `InMemoryJob`.
from dagster._core.execution.api import execute_run

# `DagsterInstance.get` takes no overrides, and without one the first run in a terminal greets with telemetry.
from dagster._core.instance.ref import InstanceRef

# See `InMemoryJob`.
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

# The statuses of a run under way, of which Dagster has added some over time.
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

# Documented tags of a run, without a public constant.
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    WILL_RETRY_TAG,
)

if TYPE_CHECKING:
    # What `dagster.define_asset_job` returns.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "NOT_FINISHED_STATUSES",
    "PARTITION_NAME_TAG",
    "SINGLETON_REPOSITORY_NAME",
    "WILL_RETRY_TAG",
    "AssetCheckEvaluationTargetMaterializationData",
    "InMemoryJob",
    "InstanceRef",
    "PartitionKeyFilter",
    "RegisteredCodeLocationOrigin",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "UnresolvedAssetJobDefinition",
    "execute_run",
]
