"""``quarantine``: reasons, limits, and the text as delivered."""

import base64

from tests.support.cli_harness import (
    HOSTILE,
    LakeCommands,
)
from tests.support.lake import DAY1, DAY2, event, key, zipped


def quarantined(commands: LakeCommands, *texts: str | bytes) -> LakeCommands:
    for number, text in enumerate(texts):
        commands.lake.write(key(DAY1, 10, f"{number}"), zipped(text))
    commands.lake.run(DAY1)
    return commands


def test_a_hostile_text_is_shown_harmless(commands: LakeCommands) -> None:
    hostile = event("e1", time=HOSTILE, source=HOSTILE)
    quarantined(commands, f"{{{HOSTILE}", hostile.encode().replace(b"\\u001b", b"\x1b"))
    for arguments in ((), ("--full",), ("--json",)):
        shown = commands.shows("quarantine", *arguments)
        assert not set(shown) & set("\x1b\x07\x9b\u202e"), arguments
        assert "[red]" in shown, arguments


def test_the_original_text_comes_back_byte_for_byte(commands: LakeCommands) -> None:
    texts: list[bytes] = [b'{"a": nope, "b": "\xc3\xa9\\u0041"}', b"\xff\xfd\x00 no UTF-8"]
    records = quarantined(commands, *texts).json("quarantine")
    assert [record.get("raw") for record in records] == [texts[0].decode(), None]
    assert base64.b64decode(records[1]["raw_base64"]) == texts[1]
    assert "raw" not in records[1]
    assert "\\xff\\xfd\\x00" in commands.shows("quarantine")


def test_quarantine_filters_by_reason_and_says_how_many_there_are_of_each(commands: LakeCommands) -> None:
    quarantined(commands, "{nope", event("e1", time="noon"), event("e2", time="dusk"))
    assert [r["reason"] for r in commands.json("quarantine", "--reason", "bad_time")] == ["bad_time"] * 2
    shown = commands.shows("quarantine", "--reason", "not_json")
    assert "not_json" in shown
    assert "bad_time" not in shown
    assert "nothing is in quarantine" in commands.shows("quarantine", "--reason", "unsafe_source")
    assert "nothing is in quarantine" in commands.shows("quarantine", "--from", str(DAY2), "--to", str(DAY2))


def test_long_texts_and_long_lists_are_shortened_unless_requested_otherwise(commands: LakeCommands) -> None:
    quarantined(commands, "{" + "x" * 5000 + "END", "{nope", "{no")
    short, full = commands.shows("quarantine"), commands.shows("quarantine", "--full")
    assert "5,004 bytes; --full shows all" in short
    assert "END" not in short
    assert "END" in full
    assert "2 more" in commands.shows("quarantine", "--limit", "1")
    assert len(commands.json("quarantine", "--limit", "1")) == 1
