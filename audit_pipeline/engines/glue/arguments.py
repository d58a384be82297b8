"""What a job run is told: its arguments, as the one who starts it writes them and as the job reads them."""

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

#: What decides about the rows. The rest (memory, processes) is of the machine, or a secret, which no argument may be.
_SETTINGS: Final = ("raw_url", "lake_url", "start_date", "grace_hours")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One run that is asked of the job.

    ``input`` is the fingerprint of the raw objects that were there when it was asked for. The job reads what there is
    when it runs; the fingerprint tells two askers that they want the same. ``settings`` are by ``AUDIT_*`` name.
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
        """From a command line ``--NAME value …``, in which Glue has put names of its own.

        :class:`SettingsError` where one is missing or wrong.
        """
        given = {name: value for name, value in itertools.pairwise(argv) if _is_ours(name)}
        missing = [name for name in (_PARTITION, _RUN_ID, _INPUT, _ACCEPT_VANISHED_RAW) if name not in given]
        if missing:
            raise SettingsError(f"the Glue job was started without {', '.join(missing)}: let Dagster start it")
        try:
            partition = date.fromisoformat(given[_PARTITION])
        except ValueError:
            raise SettingsError(f"{_PARTITION} is no date (YYYY-MM-DD): {given[_PARTITION]!r}") from None
        return cls(
            partition=partition,
            run_id=given[_RUN_ID],
            input=given[_INPUT],
            accept_vanished_raw=given[_ACCEPT_VANISHED_RAW] == "true",
            settings={name.removeprefix("--"): value for name, value in given.items() if name.startswith(_SETTING)},
        )

    def arguments(self) -> dict[str, str]:
        """A new dictionary each time: whoever gets it may change it."""
        return {
            _PARTITION: self.partition.isoformat(),
            _RUN_ID: self.run_id,
            _INPUT: self.input,
            _ACCEPT_VANISHED_RAW: str(self.accept_vanished_raw).lower(),
            **{f"--{name}": value for name, value in self.settings.items()},
        }

    def is_same_work(self, arguments: Mapping[str, str]) -> bool:
        """Whether a job run with these arguments would do just this, whoever asked for it."""
        return all(arguments.get(name) == value for name, value in self.arguments().items() if name != _RUN_ID)

    def is_same_partition(self, arguments: Mapping[str, str]) -> bool:
        """Whether it would write the same partition of the same lake."""
        ours = self.arguments()
        return all(arguments.get(name) == ours[name] for name in (_PARTITION, f"{_SETTING}LAKE_URL"))


def run_id_of(arguments: Mapping[str, str]) -> str | None:
    """The run id that a job run was started with; the manifest that it writes has the same."""
    return arguments.get(_RUN_ID)


def _is_ours(name: str) -> bool:
    return name in (_PARTITION, _RUN_ID, _INPUT, _ACCEPT_VANISHED_RAW) or name.startswith(_SETTING)
