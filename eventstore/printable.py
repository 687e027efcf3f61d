"""Text from outside, in a safe form for a terminal, a log file or a table of PostgreSQL.

Symbols, reasons, actors and errors come from brokers, users and other programs. Printed unchanged, control
characters move the cursor, line breaks forge lines, and invisible characters, or characters that change the
direction of text, make one text look like another.
"""

from __future__ import annotations

import re
import traceback
import unicodedata

# Invisible characters that `str.isprintable` accepts: the rest of Default_Ignorable_Code_Point in
# DerivedCoreProperties.txt of Unicode 16.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LINE_BREAK = "\n"
_BMP_MAX = 0xFFFF


def printable(text: str) -> str:
    r"""Return a text as one line in which every character is visible.

    Control, formatting and invisible characters are escaped as in Python: `\n`, `\x1b`, `\u202e`. All others
    stay, also a backslash, so a text with `\x1b` as four characters looks like one with the character itself.
    """
    if _is_plain(text):
        return text
    return "".join(character if _is_visible(character) else _escaped(character) for character in text)


def printable_json(text: str, *, ascii_only: bool = False) -> str:
    r"""Return equal JSON in which every character is visible; others are escaped as `\u009b`.

    Args:
        text: The JSON. Its line breaks stay, because they only occur between values.
        ascii_only: Escape all characters beyond ASCII too, for an output that supports only ASCII.
    """
    if not ascii_only and all(map(_is_plain, text.split(_LINE_BREAK))):
        return text
    return "".join(
        character
        if character == _LINE_BREAK or (_is_visible(character) and (character.isascii() or not ascii_only))
        else _json_escaped(character)
        for character in text
    )


def text_of_error(error: BaseException) -> str:
    """Return the name of an error's class and its message; it also works if `str()` of the error raises."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception as failure:  # noqa: BLE001 - a user's error class may raise anything
        return f"{_class_name(error)}: its message cannot be shown: str() raised {_class_name(failure)}"


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error, with those of its causes; it also works if parts cannot be shown."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception as failure:  # noqa: BLE001 - as above
        frames = "".join(traceback.format_tb(error.__traceback__))
        left_out = f"(the traceback is shown without its causes: it raised {_class_name(failure)})\n"
        return f"Traceback (most recent call last):\n{frames}{text_of_error(error)}\n{left_out}"


def storable(text: str, *, characters_max: int) -> str:
    r"""Return a text that PostgreSQL can store: NUL and lone surrogates escaped, the middle of a long text left out."""
    if len(text) > characters_max:
        half = characters_max // 2
        left_out = f"... {len(text) - 2 * half:,} characters are left out ..."
        text = f"{text[:half]}{left_out}{text[len(text) - half :]}"
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _class_name(error: BaseException) -> str:
    try:
        return str(type(error).__name__)
    except Exception:  # noqa: BLE001 - a metaclass may raise any error
        return "an error"


def _is_plain(text: str) -> bool:
    return text.isprintable() and _INVISIBLE.search(text) is None


def _is_visible(character: str) -> bool:
    if character.isprintable():
        return _INVISIBLE.match(character) is None
    return unicodedata.category(character) == "Zs"  # spaces of other widths


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _json_escaped(character: str) -> str:
    code = ord(character)
    if code <= _BMP_MAX:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
