"""One domain event as the JSON text that EventBridge delivers.

The text is concatenated, which is several times faster than building and dumping an object.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from math import exp, log
from random import Random
from typing import Final

from audit_pipeline.simulate.domain import (
    ACTORS,
    AGENTS,
    CHANNEL_ACCOUNTS,
    CHANNELS,
    CHILDREN,
    KINDS,
    REASONS,
    UPDATE,
    Action,
    EntityKind,
)

__all__ = ["event_text", "time_text", "uuid4", "with_new_envelope_id"]

_ENVELOPE_START: Final = '{"version":"0","id":"'
_ENVELOPE_ID: Final = slice(len(_ENVELOPE_START), len(_ENVELOPE_START) + 36)

#: The probability of an entity falls with its rank as 1/(rank + 3): Order 500 is in about one of 35 order events.
_RANK_OFFSET: Final = 3
#: The share of missing optional fields that are an explicit null.
_NULL_SHARE: Final = 0.3
_STANDARD_ACTIONS: Final = frozenset({"Create", "Update", "Delete"})
_NUMERIC_ID_SHARE: Final = 0.02
_FRACTION_SHARE: Final = 0.08

_MINUTE_SECOND: Final = tuple(f"{s // 60:02}:{s % 60:02}" for s in range(3600))
_LOG_SPAN: Final = {kind.name: log(kind.population / _RANK_OFFSET + 1) for kind in KINDS if kind.population}

#: ``Random.random``.
Draw = Callable[[], float]


def event_text(
    rng: Random, at: float, *, missing_share: float, keep_event_id: bool, own_action_share: float = 1.0
) -> str:
    """A random event that happened ``at`` (seconds since 1970, UTC).

    Each optional field is left out or null with the probability ``missing_share``; ``keep_event_id`` exempts
    ``detail.event_id``. An action of the producer's own stays one with the probability ``own_action_share``.
    """
    draw = rng.random
    kind = KINDS[int(draw() * 100)]
    action = kind.actions[int(draw() * 100)]
    if own_action_share < 1 and action.name not in _STANDARD_ACTIONS and draw() >= own_action_share:
        action = UPDATE
    entities = ",".join(_changes(kind, action, draw, missing_share))
    event_id = _optional("event_id", f'"{_uuid7(rng, at)}"', draw, 0.0 if keep_event_id else missing_share)
    correlation_id = _optional("correlation_id", f'"{uuid4(rng)}"', draw, missing_share)
    actor = _optional("actor", ACTORS[int(len(ACTORS) ** draw()) - 1], draw, missing_share)
    envelope_id = uuid4(rng)
    return (
        f'{_ENVELOPE_START}{envelope_id}","detail-type":"{kind.name.lower()}{action.past}.v1","source":"{kind.source}",'
        f'"account":"123456789012","time":"{_event_time(at, draw)}","region":"eu-west-1","resources":[],'
        f'"detail":{{"entities":[{entities}],"entity_type":"{kind.name}","action":"{action.name}"'
        f"{event_id}{correlation_id}{actor}{_context(envelope_id, missing_share)}}}}}"
    )


def with_new_envelope_id(text: str, rng: Random) -> str:
    """The event as EventBridge delivers it when its producer sends it again: PutEvents creates another ``id``."""
    return f"{text[: _ENVELOPE_ID.start]}{uuid4(rng)}{text[_ENVELOPE_ID.stop :]}"


def time_text(at: float) -> str:
    """RFC 3339 in UTC, cut to whole seconds."""
    hour, second = divmod(int(at), 3600)
    return f"{_hour_text(hour)}{_MINUTE_SECOND[second]}Z"


def uuid4(rng: Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _uuid7(rng: Random, at: float) -> str:
    milliseconds = f"{int(at * 1000):012x}"
    digits = f"{rng.getrandbits(72):018x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7{digits[:3]}-a{digits[3:6]}-{digits[6:]}"


@lru_cache(maxsize=400)
def _hour_text(hour: int) -> str:
    return f"{datetime.fromtimestamp(hour * 3600, UTC):%Y-%m-%dT%H}:"


def _event_time(at: float, draw: Draw) -> str:
    text = time_text(at)
    if draw() >= _FRACTION_SHARE:
        return text
    microseconds = int(at % 1 * 1_000_000)
    return f"{text[:-1]}.{microseconds:06}Z" if draw() < 0.2 else f"{text[:-1]}.{microseconds // 1000:03}Z"


def _context(envelope_id: str, missing_share: float) -> str:
    """From where the request came. Its numbers are the id's, which are random too: so that a seed's events stay."""
    number = int(envelope_id[:8], 16)
    value = (
        f'{{"ip":"203.0.113.{number % 254 + 1}","user_agent":{AGENTS[number % len(AGENTS)]},'
        f'"request_id":"{envelope_id[24:]}","tenant":"t-{number % 40}"{REASONS[number // 256 % len(REASONS)]}}}'
    )
    return _optional("context", value, lambda: number / 2**32, missing_share)


def _changes(kind: EntityKind, action: Action, draw: Draw, missing_share: float) -> list[str]:
    """JSON texts of one to four entity changes, 1.29 on average; children have one parent."""
    chance = draw()
    count = 1 if chance < 0.8 else 2 if chance < 0.93 else 3 if chance < 0.98 else 4
    rank = _rank(kind.parent or kind, draw)
    if not kind.parent:
        return [_change(kind, kind.first_id + rank + n, None, action, draw, missing_share) for n in range(count)]
    first = kind.first_id + CHILDREN * rank
    skip = int(draw() * (CHILDREN - count + 1))
    parent_id = kind.parent.first_id + rank
    return [_change(kind, first + skip + n, parent_id, action, draw, missing_share) for n in range(count)]


def _rank(kind: EntityKind, draw: Draw) -> int:
    return int((exp(_LOG_SPAN[kind.name] * draw()) - 1) * _RANK_OFFSET)


def _change(
    kind: EntityKind, entity_id: int, parent_id: int | None, action: Action, draw: Draw, missing_share: float
) -> str:
    before, after = _states(kind, draw)
    channel = CHANNELS[int(draw() * len(CHANNELS))]
    account = CHANNEL_ACCOUNTS[int(draw() * len(CHANNEL_ACCOUNTS))]
    parent = ""
    if kind.parent and parent_id is not None:
        value = f'{{"id":"{parent_id}","name":{kind.parent.name_of(parent_id)},"type":"{kind.parent.name}"}}'
        parent = _optional("parent", value, draw, missing_share)
    return (
        f'{{"entity":{{"id":{_id_text(entity_id, draw)},"name":{kind.name_of(entity_id)},{after[0]}}}'
        f"{_optional('before', _object(before), draw, missing_share) if action.has_before else ''}"
        f"{_optional('after', _object(after), draw, missing_share) if action.has_after else ''}"
        f"{parent}"
        f"{_optional('channel_code', channel, draw, missing_share)}"
        f"{_optional('channel_account_code', account, draw, missing_share)}"
        "}"
    )


def _id_text(entity_id: int, draw: Draw) -> str:
    return str(entity_id) if draw() < _NUMERIC_ID_SHARE else f'"{entity_id}"'


def _states(kind: EntityKind, draw: Draw) -> tuple[list[str], list[str]]:
    """The fields of an entity before and after a change of one or two of them."""
    before = [values[int(draw() * len(values))] for values in kind.fields]
    after = before.copy()
    for _ in range(2):
        n = int(draw() * len(after))
        after[n] = kind.fields[n][int(draw() * len(kind.fields[n]))]
    return before, after


def _object(members: list[str]) -> str:
    return f"{{{','.join(members)}}}"


def _optional(name: str, value: str, draw: Draw, missing_share: float) -> str:
    chance = draw()
    if chance >= missing_share:
        return f',"{name}":{value}'
    return f',"{name}":null' if chance < missing_share * _NULL_SHARE else ""
