"""The accounting once more, from its definitions: exact fractions and plain dicts, sharing no code with the library.

It decides by itself which commands are legal, so that it can also tell a refusal too many or too few. All arithmetic is
exact (`fractions.Fraction`), so it has no rounding at all: where the library divides, it may differ by its rounding
at 34 digits, and nowhere else.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

REFUSED = "refused"
REPEAT = "repeat"
DONE = "done"

ENDED = ("CANCELLED", "REJECTED", "EXPIRED")


# ---- orders ------------------------------------------------------------------------------------------------


def new_order(arguments: dict[str, Any]) -> dict[str, Any]:
    """An order as it is created: what is ordered, and nothing else."""
    return {
        "ordered": Fraction(arguments["quantity"]),
        "has_limit": "limit_price" in arguments,
        "limit": arguments.get("limit_price"),
        "life": "working",
        "sent": False,
        "acknowledged": False,
        "ended_at": None,
        "reports": [],
    }


def filled(order: dict[str, Any]) -> Fraction:
    """The sum of the quantities of the reports that stand."""
    return sum((report["quantity"] for report in order["reports"] if report["stands"]), Fraction(0))


def value(order: dict[str, Any]) -> Fraction:
    """The sum of quantity x price of the reports that stand."""
    return sum(
        (report["quantity"] * report["price"] for report in order["reports"] if report["stands"]), Fraction(0)
    )


def commission(order: dict[str, Any]) -> Fraction:
    """The sum of the commissions of the reports that stand."""
    return sum((report["commission"] for report in order["reports"] if report["stands"]), Fraction(0))


def status(order: dict[str, Any]) -> str:
    """The status that follows from the order's life and its fills."""
    if order["life"] in ENDED:
        return str(order["life"])
    if filled(order) == order["ordered"]:
        return "FILLED"
    if filled(order):
        return "PARTIALLY_FILLED"
    return "SUBMITTED" if order["sent"] else "PENDING"


def command_order(  # noqa: PLR0911 - one answer for each command
    order: dict[str, Any], method: str, arguments: dict[str, Any]
) -> str:
    """Do one command to `order`, and say whether it was refused, a repeat, or done."""
    active = status(order) in ("PENDING", "SUBMITTED", "PARTIALLY_FILLED")
    if method == "submit":
        if order["life"] in ENDED or order["acknowledged"]:
            return REFUSED
        order["sent"] = order["acknowledged"] = True
    elif method in ("cancel", "expire"):
        if not active:
            return REFUSED
        order["life"] = "CANCELLED" if method == "cancel" else "EXPIRED"
        order["ended_at"] = arguments["occurred_at"]
    elif method == "reject":
        if status(order) not in ("PENDING", "SUBMITTED"):
            return REFUSED
        order["life"] = "REJECTED"
    elif method == "amend":
        return _amend(order, arguments, active=active)
    elif method == "fill":
        return _fill(order, arguments)
    elif method == "bust_fill":
        return _bust(order, arguments["execution_id"])
    elif method == "correct_fill":
        return _correct(order, arguments)
    return DONE


def _amend(order: dict[str, Any], arguments: dict[str, Any], *, active: bool) -> str:
    if not active:
        return REFUSED
    if "limit_price" in arguments:
        if not order["has_limit"]:
            return REFUSED
        same = order["limit"] == arguments["limit_price"]
        order["limit"] = arguments["limit_price"]
        return REPEAT if same else DONE
    quantity = Fraction(arguments["quantity"])
    if quantity < filled(order):
        return REFUSED
    same = quantity == order["ordered"]
    order["ordered"] = quantity
    return REPEAT if same else DONE


def _content(report: dict[str, Any]) -> tuple[Fraction, Fraction, Fraction]:
    return report["quantity"], report["price"], report["commission"]


def _report(
    identifier: str, arguments: dict[str, Any], fees: Fraction, *, instead_of: str | None = None
) -> dict[str, Any]:
    return {
        "id": identifier,
        "quantity": Fraction(arguments["quantity"]),
        "price": Fraction(arguments["price"]),
        "commission": fees,
        "stands": True,
        "busted": False,
        "instead_of": instead_of,
    }


def _fill(order: dict[str, Any], arguments: dict[str, Any]) -> str:
    report = _report(arguments["execution_id"], arguments, Fraction(arguments["commission"]))
    same_id = [known for known in order["reports"] if known["id"] == report["id"]]
    if same_id:
        return REPEAT if _content(report) in [_content(known) for known in same_id] else REFUSED
    if order["life"] == "REJECTED":
        return REFUSED
    if order["life"] in ENDED and arguments["occurred_at"] > order["ended_at"]:
        return REFUSED
    if filled(order) + report["quantity"] > order["ordered"]:
        return REFUSED
    order["reports"].append(report)
    order["sent"] = True
    return DONE


def _bust(order: dict[str, Any], identifier: str) -> str:
    same_id = [known for known in order["reports"] if known["id"] == identifier]
    standing = [known for known in same_id if known["stands"]]
    if standing:
        standing[0]["stands"] = False
        standing[0]["busted"] = True
        return DONE
    return REPEAT if same_id and same_id[-1]["busted"] else REFUSED


def _correct(order: dict[str, Any], arguments: dict[str, Any]) -> str:
    old_id = arguments["execution_id"]
    new_id = arguments["new_execution_id"] or old_id
    same_id = [known for known in order["reports"] if known["id"] == old_id]
    if not same_id:
        return REFUSED
    standing = [known for known in same_id if known["stands"]]
    old = standing[0] if standing else same_id[-1]
    new = _report(new_id, arguments, old["commission"], instead_of=old_id)
    if new_id == old_id:
        if standing and _content(old) == _content(new):
            return REPEAT
    else:
        known_new = [known for known in order["reports"] if known["id"] == new_id]
        if known_new:
            repeated = [
                known
                for known in known_new
                if known["instead_of"] == old_id and _content(known) == _content(new)
            ]
            return REPEAT if repeated else REFUSED
    if not standing:
        return REFUSED
    if filled(order) - old["quantity"] + new["quantity"] > order["ordered"]:
        return REFUSED
    old["stands"] = False
    order["reports"].append(new)
    return DONE


# ---- positions ---------------------------------------------------------------------------------------------


def new_position(signed: Fraction, price: Fraction, fees: Fraction, multiplier: Fraction) -> dict[str, Any]:
    """A position as it is opened. `turnover` is what went through it, the scale of its rounding."""
    return {
        "quantity": signed,
        "average": price,
        "multiplier": multiplier,
        "realized": Fraction(0),
        "commission": fees,
        "known": set(),
        "mark": None,
        "turnover": abs(signed * price * multiplier) + abs(fees),
    }


def command_position(book: list[dict[str, Any]], method: str, arguments: dict[str, Any]) -> str:
    """Do one command to the last position of `book`; a flip adds another."""
    position = book[-1]
    identifier = arguments.get("execution_id")
    if identifier is not None and identifier in position["known"]:
        return REPEAT
    if position["quantity"] == 0:
        return REFUSED
    if method == "mark":
        position["mark"] = Fraction(arguments["price"])
        return DONE
    price = arguments["price"]
    if method == "close" and price is None:
        price = position["mark"]
        if price is None:
            return REFUSED
    price = Fraction(price)
    fees = Fraction(arguments.get("commission", 0))
    sign = 1 if position["quantity"] > 0 else -1
    if method == "close":
        signed = -position["quantity"]
    elif method == "add":
        signed = sign * Fraction(arguments["quantity"])
    elif method == "reduce":
        signed = -sign * Fraction(arguments["quantity"])
        if abs(signed) > abs(position["quantity"]):
            return REFUSED
    else:
        signed = Fraction(arguments["quantity"]) * (1 if arguments["side"] == "BUY" else -1)
    _trade(book, signed, price, fees, identifier)
    return DONE


def _trade(
    book: list[dict[str, Any]], signed: Fraction, price: Fraction, fees: Fraction, identifier: str | None
) -> None:
    position = book[-1]
    if identifier is not None:
        position["known"].add(identifier)
    position["turnover"] += abs(signed * price * position["multiplier"]) + abs(fees)
    before = position["quantity"]
    if signed * before > 0:
        # Average cost: the average of the old and the new, each weighted by its quantity.
        position["average"] = (before * position["average"] + signed * price) / (before + signed)
        position["quantity"] = before + signed
        position["commission"] += fees
        return
    closed = min(abs(signed), abs(before))
    direction = 1 if before > 0 else -1
    position["realized"] += direction * closed * (price - position["average"]) * position["multiplier"]
    position["commission"] += fees * closed / abs(signed)
    position["quantity"] = before - direction * closed
    rest = abs(signed) - closed
    if rest:
        opposite = new_position(-direction * rest, price, fees * rest / abs(signed), position["multiplier"])
        if identifier is not None:
            opposite["known"].add(identifier)
        book.append(opposite)


# ---- portfolios --------------------------------------------------------------------------------------------


def new_portfolio(capital: Fraction) -> dict[str, Any]:
    """A portfolio as it begins."""
    return {"cash": capital, "deposits": Fraction(0), "trades": [], "known": set(), "fees": Fraction(0)}


def command_portfolio(portfolio: dict[str, Any], method: str, arguments: dict[str, Any]) -> str:
    """Do one command to `portfolio`."""
    if method == "record_trade":
        if arguments["trade_id"] in portfolio["known"]:
            return REPEAT
        portfolio["known"].add(arguments["trade_id"])
        fees = Fraction(arguments["commission"])
        result = arguments["realized_pnl"]
        if result is not None:
            portfolio["trades"].append(Fraction(result))
        flow = arguments.get("cash_flow")
        portfolio["cash"] += Fraction(result or 0) - fees if flow is None else Fraction(flow)
        portfolio["fees"] += fees
        return DONE
    amount = Fraction(arguments["amount"])
    if amount <= 0 or (method == "withdraw" and amount > portfolio["cash"]):
        return REFUSED
    signed = amount if method == "deposit" else -amount
    portfolio["cash"] += signed
    portfolio["deposits"] += signed
    return DONE
