"""Shares in dollars, euros and yen, held in dollars: dividends and the tax withheld, a split, a bust, a correction, a late fill.

The sale of 50 RHEI on 12 March is reported on 20 March, after the second purchase. By what happened up to 15 March it
was a sale out of the first purchase alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

from tests.histories.history import Answer, History, Traded

F = Fraction

SHARES = History(
    name="shares",
    base="USD",
    venue="XOFF",
    instruments={"ACME": Traded("USD"), "RHEI": Traded("EUR"), "TOKY": Traded("JPY")},
    answers={
        datetime(2026, 3, 15, tzinfo=UTC): Answer(
            rates={"EUR": F("1.09"), "JPY": F("0.0066")},
            positions={
                # (60 x 200 + 40 x 200.25) / 100: 200.25 is the corrected price
                "ACME": (F(100), F("200.1")),
                # 100 - 50 at 80, before the second purchase
                "RHEI": (F(50), F(80)),
                # (300 x 2500 + 200 x 2505) / 500: the fill at 2510 was busted
                "TOKY": (F(500), F(2502)),
            },
            # (86 - 80) x 50
            realized={"EUR": F(300)},
            # 0.6 + 0.4 and 2.5 for the sale in euros; 4; 300 + 200
            commissions={"USD": F("3.5"), "EUR": F(4), "JPY": F(500)},
            cash={
                # 100000 - 44000 - 19500 - 12000 - 8010 - 3.5
                "USD": F("16486.5"),
                # 40000 - 8000 + 4300 - 4
                "EUR": F(36296),
                # 3000000 - 750000 - 501000 - 500
                "JPY": F(1748500),
            },
            income={},
            # 16486.5 + 100 x 210 = 37486.5
            # (36296 + 50 x 84) x 1.09 = 40496 x 1.09 = 44140.64
            # (1748500 + 500 x 2550) x 0.0066 = 3023500 x 0.0066 = 19955.1
            equity=F("101582.24"),
            # (86 - 85) x 50: when the sale of 12 March was reported, the purchase of 20 March was known
            recorded={"EUR": F(50)},
        ),
        datetime(2026, 4, 5, tzinfo=UTC): Answer(
            rates={"EUR": F("1.12"), "JPY": F("0.0064")},
            positions={
                # 100 at 200.1 became 400 at 50.025: (20010 + 200 x 51) / 600
                "ACME": (F(600), F("50.35")),
                # 100 at 80 and 100 at 90 were 200 at 85; 50 of them were sold
                "RHEI": (F(150), F(85)),
                "TOKY": (F(500), F(2502)),
            },
            # (86 - 85) x 50, in the order of report
            realized={"EUR": F(50)},
            # 3.5 + 2; 4 + 4.5; 500
            commissions={"USD": F("5.5"), "EUR": F("8.5"), "JPY": F(500)},
            cash={
                # 16486.5 + 10000 + 50 - 7.5 - 10200 - 2
                "USD": F(16327),
                # 36296 - 9000 - 4.5
                "EUR": F("27291.5"),
                # 1748500 + 20000 - 3063
                "JPY": F(1765437),
            },
            # 100 x 0.5 x 0.85; 500 x 40 = 20000, less 15.315 % of it
            income={"USD": F("42.5"), "JPY": F(16937)},
            # 16327 + 600 x 52 = 47527
            # (27291.5 + 150 x 88) x 1.12 = 40491.5 x 1.12 = 45350.48
            # (1765437 + 500 x 2600) x 0.0064 = 3065437 x 0.0064 = 19618.7968
            equity=F("112496.2768"),
        ),
        datetime(2026, 5, 15, 23, tzinfo=UTC): Answer(
            rates={"EUR": F("1.15"), "JPY": F("0.0062")},
            positions={"ACME": (F(500), F("50.35")), "TOKY": (F(500), F(2502))},
            # (53 - 50.35) x 100; 50 + (91 - 85) x 75 + (92 - 85) x 75 = 50 + 450 + 525
            realized={"USD": F(265), "EUR": F(1025)},
            # 5.5 + 1; 8.5 + 3 + 3; 500
            commissions={"USD": F("6.5"), "EUR": F("14.5"), "JPY": F(500)},
            cash={
                # 16327 + 5300 - 1 + 46000 + 12.34 - 10 - 5000
                "USD": F("62628.34"),
                # 27291.5 + 6825 - 3 + 6900 - 3 + 180 - 47.48 - 40000
                "EUR": F("1143.02"),
                "JPY": F(1765437),
            },
            # 42.5 + 12.34 - 10; 180 - 47.48; 16937
            income={"USD": F("44.84"), "EUR": F("132.52"), "JPY": F(16937)},
            # 62628.34 + 500 x 55 = 90128.34
            # 1143.02 x 1.15 = 1314.473
            # (1765437 + 500 x 2480) x 0.0062 = 3005437 x 0.0062 = 18633.7094
            equity=F("110076.5224"),
        ),
        datetime(2026, 6, 1, tzinfo=UTC): Answer(
            rates={"EUR": F("1.16"), "JPY": F("0.0063")},
            positions={"ACME": (F(500), F("50.35")), "TOKY": (F(300), F(2502))},
            # (2450 - 2502) x 200
            realized={"USD": F(265), "EUR": F(1025), "JPY": F(-10400)},
            commissions={"USD": F("6.5"), "EUR": F("14.5"), "JPY": F(700)},
            # 1765437 + 490000 - 200
            cash={"USD": F("62628.34"), "EUR": F("1143.02"), "JPY": F(2255237)},
            income={"USD": F("44.84"), "EUR": F("132.52"), "JPY": F(16937)},
            # 62628.34 + 500 x 54 = 89628.34
            # 1143.02 x 1.16 = 1325.9032
            # (2255237 + 300 x 2440) x 0.0063 = 2987237 x 0.0063 = 18819.5931
            equity=F("109773.8363"),
            # ACME 1; RHEI 3; TOKY 1, which lost
            trades=(5, 4, 1),
        ),
    },
)
