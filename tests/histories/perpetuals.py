"""Perpetual contracts on BTC and ETH, quoted and settled in USDT: funding every eight hours, and fees in BNB.

The venue counts its execution ids up for each contract, so an order in ETHUSDT has the ids of one in BTCUSDT. Fees are
0.045 % of the value (taker) or 0.018 % (maker), in BNB at 900 USDT; 0.05 % if they are paid in USDT, and one maker
order earns 0.005 %.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

from tests.histories.history import Answer, History, Traded

F = Fraction

PERPETUALS = History(
    name="perpetuals",
    base="USDT",
    venue="PERP",
    instruments={"BTCUSDT": Traded("USDT", on_margin=True), "ETHUSDT": Traded("USDT", on_margin=True)},
    answers={
        datetime(2026, 1, 11, 6, tzinfo=UTC): Answer(
            rates={"BNB": F(900)},
            positions={
                # (0.2 x 90000 + 0.3 x 89990 + 0.3 x 90606) / 0.8 = (18000 + 26997 + 27181.8) / 0.8
                "BTCUSDT": (F("0.8"), F("90223.5")),
                # (4 x 3100 + 6 x 3099.5) / 10 = (12400 + 18597) / 10
                "ETHUSDT": (F(-10), F("3099.7")),
            },
            realized={},
            # 0.0036 + 0.0053994 + 0.0062 + 0.0092985 + 0.0135909
            commissions={"BNB": F("0.0380888")},
            # 20000 - 10.756; 1.5 - 0.0380888
            cash={"USDT": F("19989.244"), "BNB": F("1.4619112")},
            # -4.505 - 3.62 + 1.545 - 7.256 + 3.08
            income={"USDT": F("-10.756")},
            # 19989.244 + (90700 - 90223.5) x 0.8 + (3099.7 - 3080) x 10 + 1.4619112 x 900
            #   = 19989.244 + 381.2 + 197 + 1315.72008
            equity=F("21883.16408"),
            trades=(0, 0, 0),
        ),
        datetime(2026, 1, 12, 2, tzinfo=UTC): Answer(
            rates={"BNB": F(880)},
            positions={
                # 0.8 - 0.25 - 0.15 - 0.05, the last one reported after the order was cancelled
                "BTCUSDT": (F("0.35"), F("90223.5")),
                # -10 + 4 + 11 = 5 at 3059, then 5 at 3080: (15295 + 15400) / 10
                "ETHUSDT": (F(10), F("3069.5")),
            },
            # ETH (3099.7 - 3060) x 4 + (3099.7 - 3059) x 6 = 158.8 + 244.2
            # BTC (91500 - 90223.5) x 0.25 + (91510 - 90223.5) x 0.15 + (91520 - 90223.5) x 0.05
            #   = 319.125 + 192.975 + 64.825
            realized={"USDT": F("979.925")},
            # BNB 0.0380888 + 0.00612 + 0.0168245 + 0.004575 + 0.0027453 + 0.0009152; USDT 15400 x 0.05 %
            commissions={"BNB": F("0.0692688"), "USDT": F("7.7")},
            # 20000 + 979.925 - 24.2076 - 7.7; 1.5 - 0.0692688
            cash={"USDT": F("20948.0174"), "BNB": F("1.4307312")},
            # -10.756 - 8.736 + 1.836 - 3.192 - 1.535 + 1.2754 - 3.1
            income={"USDT": F("-24.2076")},
            # 20948.0174 + (91150 - 90223.5) x 0.35 + (3105 - 3069.5) x 10 + 1.4307312 x 880
            #   = 20948.0174 + 324.275 + 355 + 1259.043456
            equity=F("22886.335856"),
            trades=(5, 5, 0),
        ),
        datetime(2026, 1, 13, 1, tzinfo=UTC): Answer(
            rates={"BNB": F(910)},
            positions={"BTCUSDT": (F("-0.2"), F(91650)), "ETHUSDT": (F(10), F("3069.5"))},
            # 979.925 + (91700 - 90223.5) x 0.35 = 979.925 + 516.775
            realized={"USDT": F("1496.7")},
            # BNB 0.0692688 + 0.009165; USDT 7.7 - 91700 x 0.35 x 0.005 % = 7.7 - 1.60475
            commissions={"BNB": F("0.0784338"), "USDT": F("6.09525")},
            # 20000 + 1496.7 - 22.7591 - 6.09525 - 1000 - 450; 1.5 + 0.5 - 0.0784338
            cash={"USDT": F("20017.84565"), "BNB": F("1.9215662")},
            # -24.2076 - 3.1955 - 3.11 + 1.82 - 3.09 + 5 + 2.5 + 0.908 + 0.616
            income={"USDT": F("-22.7591")},
            # 20017.84565 + (91650 - 90750) x 0.2 + (3085 - 3069.5) x 10 + 1.9215662 x 910
            #   = 20017.84565 + 180 + 155 + 1748.625242
            equity=F("22101.470892"),
            trades=(6, 6, 0),
        ),
        datetime(2026, 1, 14, tzinfo=UTC): Answer(
            rates={"BNB": F(905)},
            positions={"BTCUSDT": (F("-0.1"), F(91650))},
            # 1496.7 + (3120 - 3069.5) x 3 + (3121 - 3069.5) x 7 + (91650 - 90600) x 0.1 = 1496.7 + 151.5 + 360.5 + 105;
            # the fill at 50000 was busted
            realized={"USDT": F("2113.7")},
            # BNB 0.0784338 + 0.001872 + 0.0043694 + 0.00453
            commissions={"BNB": F("0.0892052"), "USDT": F("6.09525")},
            # 20000 + 2113.7 - 21.8541 - 6.09525 - 1450; 2 - 0.0892052
            cash={"USDT": F("20635.75065"), "BNB": F("1.9107948")},
            # -22.7591 + 0.905
            income={"USDT": F("-21.8541")},
            # 20635.75065 + (91650 - 90400) x 0.1 + 1.9107948 x 905 = 20635.75065 + 125 + 1729.269294
            equity=F("22490.019944"),
            trades=(9, 9, 0),
        ),
    },
)
