"""The arguments of a job run, as the engine writes them and as the job reads them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from audit_pipeline.errors import SettingsError
from audit_pipeline.settings import Settings

__all__ = ["JobRequest", "run_id_of"]

_PARTITION: Final = "--PARTITION"
_RUN_ID: Final = "--RUN_ID"
_INPUT: Final = "--INPUT"
_ACCEPT_VANISHED_RAW: Final = "--ACCEPT_VANISHED_RAW"
_SETTING: Final = "--AUDIT_"

#: The settings that decide about the rows. The others belong to the machine (memory, processes) or are secrets, which
#: must not be arguments.
_SETTINGS: Final = ("raw_url", "lake_url", "start_date", "grace_hours")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A request to run the job on one partition.

    ``input`` is the fingerprint of the raw objects at the time of the request. The job reads what is there when it
    runs; two requests with the same fingerprint want the same work. ``settings`` are by ``AUDIT_*`` name.
    """

    partition: date
    run_id: str
    input: str
    accept_vanished_raw: bool
    settings: Mapping[str, str]

    @classmethod
    def of(
        cls, settings: Settings, partition: date, run_id: str, fingerprint: str, *, accept_vanished_raw: bool
    ) -> "JobRequest":
        named = {f"AUDIT_{name.upper()}": str(getattr(settings, name)) for name in _SETTINGS}
        return cls(partition, run_id, fingerprint, accept_vanished_raw, named)

    @classmethod
    def parse(cls, argv: Sequence[str]) -> "JobRequest":
        """Read a command line ``--NAME value …``, to which Glue adds arguments of its own.

        :class:`SettingsError` where an argument is missing or wrong.
        """
        given = {name: value for name, value in itertools.pairwise(argv) if _is_ours(name)}
        missing = [name for name in (_PARTITION, _RUN_ID, _INPUT, _ACCEPT_VANISHED_RAW) if name not in given]
        if missing:
            raise SettingsError(f"the Glue job was started without {', '.join(missing)}: start it from Dagster")
        try:
            partition = date.fromisoformat(given[_PARTITION])
        except ValueError:
            raise SettingsError(f"{_PARTITION} is not a date (YYYY-MM-DD): {given[_PARTITION]!r}") from None
        return cls(
            partition=partition,
            run_id=given[_RUN_ID],
            input=given[_INPUT],
            accept_vanished_raw=given[_ACCEPT_VANISHED_RAW] == "true",
            settings={name.removeprefix("--"): value for name, value in given.items() if name.startswith(_SETTING)},
        )

    def arguments(self) -> dict[str, str]:
        """A new dictionary each time, which the caller may change."""
        return {
            _PARTITION: self.partition.isoformat(),
            _RUN_ID: self.run_id,
            _INPUT: self.input,
            _ACCEPT_VANISHED_RAW: str(self.accept_vanished_raw).lower(),
            **{f"--{name}": value for name, value in self.settings.items()},
        }

    def is_same_work(self, arguments: Mapping[str, str]) -> bool:
        """Whether a job run with these arguments does the same work; the run ids may differ."""
        return all(arguments.get(name) == value for name, value in self.arguments().items() if name != _RUN_ID)

    def is_same_partition(self, arguments: Mapping[str, str]) -> bool:
        """Whether a job run with these arguments writes the same partition of the same lake."""
        ours = self.arguments()
        return all(arguments.get(name) == ours[name] for name in (_PARTITION, f"{_SETTING}LAKE_URL"))


def run_id_of(arguments: Mapping[str, str]) -> str | None:
    """The run id that a job run was started with, which is that of the manifest that it writes."""
    return arguments.get(_RUN_ID)


def _is_ours(name: str) -> bool:
    return name in (_PARTITION, _RUN_ID, _INPUT, _ACCEPT_VANISHED_RAW) or name.startswith(_SETTING)
