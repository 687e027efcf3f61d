"""An exported file, altered by somebody who knows its form: every hash is made anew but those that are left alone on purpose."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from eventstore.evidence.canonical import ENTRY_BYTES, Seal, columns_of, entry, merkle_root, microseconds
from eventstore.export.lines import append_check

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class ForgedFile:
    """The parts of a file; `lines` puts them together, with hashes and counts that agree.

    Attributes:
        header: The first line.
        events: The columns of each event; data and metadata as the text that stands in the file.
        seals: What each seal says.
    """

    header: bytes
    events: list[dict[str, Any]]
    seals: list[dict[str, Any]]

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> ForgedFile:
        """Take a file apart."""
        events, seals = [], []
        for line in lines[1:-1]:
            parsed = json.loads(line)
            if "seal" in parsed:
                seals.append(parsed["seal"])
                continue
            text = line.decode()
            start, middle = text.index(',"data":') + len(',"data":'), text.index(',"metadata":')
            parsed["data"] = text[start:middle]
            parsed["metadata"] = text[middle + len(',"metadata":') : text.rindex(',"hash":"')]
            del parsed["hash"]
            parsed.pop("append_check", None)
            events.append(parsed)
        return cls(lines[0], events, seals)

    def entries(self) -> list[bytes]:
        """The position and hash of each event."""
        times = ("occurred_at", "recorded_at")
        return [
            entry({**columns_of(one), **{name: datetime.fromisoformat(one[name]) for name in times}})
            for one in self.events
        ]

    def seal_anew(self) -> None:
        """Make each seal the hash of what it says."""
        previous, after = bytes(32), 0
        for one in self.seals:
            entries = bytes.fromhex(one["entries"])
            leaves = [
                entries[start + 8 : start + ENTRY_BYTES] for start in range(0, len(entries), ENTRY_BYTES)
            ]
            one["after_position"], one["events"] = after, len(leaves)
            one["root"], one["previous"] = merkle_root(leaves).hex(), previous.hex()
            sealed_at = microseconds(datetime.fromisoformat(one["sealed_at"]))
            numbers = (one["block"], after, one["through_position"], len(leaves), sealed_at)
            previous = Seal(*numbers, merkle_root(leaves), previous, b"").expected()
            one["seal"], after = previous.hex(), one["through_position"]

    def lines(self) -> list[bytes]:
        """Return the file."""
        hashes = [one[8:] for one in self.entries()]
        lines = [self.header]
        for event, leaf in zip(self.events, hashes, strict=True):
            texts = [
                f'"{name}":{value if name in ("data", "metadata") else json.dumps(value)}'
                for name, value in event.items()
                if name != "append_digest"
            ]
            texts.append(f'"hash":"{leaf.hex()}"')
            if digest := event.get("append_digest"):
                texts.append(f'"append_digest":{digest},"append_check":"{append_check(leaf, digest).hex()}"')
            lines.append(f"{{{','.join(texts)}}}\n".encode())
        lines += [json.dumps({"seal": one}, separators=(",", ":")).encode() + b"\n" for one in self.seals]
        end = {
            "events": len(self.events),
            "seals": len(self.seals),
            "last_position": self.events[-1]["position"],
            "sha256": sha256(b"".join(hashes)).hexdigest(),
        }
        return [*lines, json.dumps({"end": end}, separators=(",", ":")).encode() + b"\n"]
