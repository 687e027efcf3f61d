"""Futures on an index, 50 dollars a point: a roll from March to June, flips through zero, and cash below zero until a deposit."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

from tests.histories.history import Answer, History, Traded

F = Fraction

FUTURES = History(
    name="futures",
    base="USD",
    venue="XCME",
    instruments={
        "ESH6": Traded("USD", multiplier=50, on_margin=True),
        "ESM6": Traded("USD", multiplier=50, on_margin=True),
    },
    answers={
        datetime(2026, 3, 7, tzinfo=UTC): Answer(
            rates={},
            # (2 x 6800 + 6790 + 6789.75) / 4 = 27179.75 / 4; one was sold
            positions={"ESH6": (F(3), F("6794.9375"))},
            # (6830.25 - 6794.9375) x 50
            realized={"USD": F("1765.625")},
            # five contracts at 2.25
            commissions={"USD": F("11.25")},
            # 30000 + 1765.625 - 11.25
            cash={"USD": F("31754.375")},
            income={},
            # 31754.375 + (6825 - 6794.9375) x 3 x 50 = 31754.375 + 4509.375
            equity=F("36263.75"),
            trades=(1, 1, 0),
        ),
        datetime(2026, 3, 23, 19, tzinfo=UTC): Answer(
            rates={},
            # 2 x 6805.25 + 6805.5 + 5 x 6840 = 54616 for 8; 10 sold at 6764 leave 2 short
            positions={"ESM6": (F(-2), F(6764))},
            # 1765.625 + (6750.5 - 6794.9375) x 3 x 50 + (6764 - 6827) x 8 x 50 = 1765.625 - 6665.625 - 25200
            realized={"USD": F(-30100)},
            # 26 contracts at 2.25
            commissions={"USD": F("58.5")},
            # 30000 - 30100 - 58.5 - 56.25
            cash={"USD": F("-214.75")},
            # -45 - 1.25 - 10
            income={"USD": F("-56.25")},
            # -214.75 + (6764 - 6758) x 2 x 50
            equity=F("385.25"),
            trades=(3, 1, 2),
        ),
        datetime(2026, 4, 1, tzinfo=UTC): Answer(
            rates={},
            # one of the two at 6764 was bought back; one at 6771.75, reported late, came to it: (6764 + 6771.75) / 2
            positions={"ESM6": (F(-2), F("6767.875"))},
            # -30100 + (6764 - 6720.25) x 50
            realized={"USD": F("-27912.5")},
            commissions={"USD": F(63)},
            # 30000 + 15000 - 2000 - 27912.5 - 63 - 56.25
            cash={"USD": F("14968.25")},
            income={"USD": F("-56.25")},
            # 14968.25 + (6767.875 - 6700) x 2 x 50 = 14968.25 + 6787.5
            equity=F("21755.75"),
            trades=(4, 2, 2),
        ),
        datetime(2026, 5, 1, tzinfo=UTC): Answer(
            rates={},
            positions={"ESM6": (F(-1), F(6710))},
            # -27912.5 + (6767.875 - 6650) x 2 x 50 + (6700.5 - 6650) x 50 = -27912.5 + 11787.5 + 2525
            realized={"USD": F(-13600)},
            # 33 contracts at 2.25
            commissions={"USD": F("74.25")},
            # 30000 + 13000 - 13600 - 74.25 - 56.25
            cash={"USD": F("29269.5")},
            income={"USD": F("-56.25")},
            # 29269.5 + (6710 - 6690) x 50
            equity=F("30269.5"),
            trades=(6, 4, 2),
        ),
    },
)
