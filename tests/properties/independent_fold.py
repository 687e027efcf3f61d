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
    quantity, cash = arguments["quantity"], arguments.get("cash_quantity")
    return {
        "ordered": None if quantity is None else Fraction(quantity),
        "cash": None if cash is None else Fraction(cash),
        "multiplier": Fraction(arguments.get("multiplier", 1)),
        "has_limit": "limit_price" in arguments,
        "limit": arguments.get("limit_price"),
        "symbol": arguments["symbol"],
        "venue": arguments.get("venue"),
        "client": arguments.get("client_order_id"),
        "broker": None,
        "life": "working",
        "done": False,
        "sent": False,
        "acknowledged": False,
        "ended_at": None,
        "after_end": False,
        "was_rejected": False,
        "asked": [],
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


def commissions(order: dict[str, Any]) -> dict[str | None, Fraction]:
    """The sums of the commissions of the reports that stand, by their currency."""
    sums: dict[str | None, Fraction] = {None: Fraction(0)}
    for report in order["reports"]:
        if report["stands"]:
            sums[report["fee_in"]] = sums.get(report["fee_in"], Fraction(0)) + report["commission"]
    return {currency: amount for currency, amount in sums.items() if amount or currency is None}


def _is_complete(order: dict[str, Any]) -> bool:
    if order["cash"] is None:
        return bool(filled(order) >= order["ordered"])
    return bool(filled(order) and (order["done"] or value(order) * order["multiplier"] >= order["cash"]))


def status(order: dict[str, Any]) -> str:
    """The status that follows from the order's life and its fills."""
    if order["life"] in ENDED:
        return str(order["life"])
    if _is_complete(order):
        return "FILLED"
    kinds = [kind for kind, _ in order["asked"]]
    if kinds:
        return "PENDING_CANCEL" if "cancel" in kinds else "PENDING_REPLACE"
    if filled(order):
        return "PARTIALLY_FILLED"
    return "SUBMITTED" if order["sent"] else "PENDING"


def leaves(order: dict[str, Any]) -> Fraction:
    """What may still trade."""
    is_active = status(order) not in (*ENDED, "FILLED")
    return order["ordered"] - filled(order) if is_active and order["cash"] is None else Fraction(0)


def command_order(  # noqa: PLR0911, PLR0912 - one answer for each command
    order: dict[str, Any], method: str, arguments: dict[str, Any]
) -> str:
    """Do one command to `order`, and say whether it was refused, a repeat, or done."""
    active = status(order) not in (*ENDED, "FILLED")
    if method == "submit":
        if order["acknowledged"]:
            return REFUSED
        order["sent"] = order["acknowledged"] = True
        order["broker"] = arguments["broker_order_id"]
    elif method in ("cancel", "expire"):
        if not active:
            return REFUSED
        order["life"] = "CANCELLED" if method == "cancel" else "EXPIRED"
        order["ended_at"] = arguments["occurred_at"]
        order["asked"] = []
    elif method == "reject":
        if not active or order["reports"]:
            return REFUSED
        order["life"] = "REJECTED"
        order["was_rejected"] = True
        order["asked"] = []
    elif method == "complete":
        if order["cash"] is None:
            return REFUSED
        if status(order) == "FILLED":
            return REPEAT
        if not active or not filled(order):
            return REFUSED
        order["done"] = True
    elif method == "split":
        _split(order, Fraction(arguments["new"], arguments["old"]))
    elif method == "change_symbol":
        same = order["symbol"] == arguments["symbol"]
        order["symbol"] = arguments["symbol"]
        return REPEAT if same else DONE
    elif method in ("request_cancel", "request_replace"):
        if not active and not (method == "request_replace" and status(order) == "FILLED"):
            return REFUSED
        request = (method.removeprefix("request_"), arguments["client_order_id"])
        if request[1] is not None and request in order["asked"]:
            return REPEAT
        order["asked"].append(request)
    elif method == "reject_request":
        wanted = arguments["client_order_id"]
        fitting = [n for n, (_, name) in enumerate(order["asked"]) if wanted in (None, name)]
        if not fitting:
            return REFUSED
        del order["asked"][fitting[-1]]
    elif method == "amend":
        return _amend(order, arguments, active=active)
    elif method == "fill":
        return _fill(order, arguments)
    elif method == "bust_fill":
        return _bust(order, arguments["execution_id"])
    elif method == "correct_fill":
        return _correct(order, arguments)
    return DONE


def _split(order: dict[str, Any], ratio: Fraction) -> None:
    if order["ordered"] is not None:
        order["ordered"] *= ratio
    if order["limit"] is not None:
        order["limit"] = Fraction(order["limit"]) / ratio
    for report in order["reports"]:
        report["quantity"] *= ratio
        report["price"] /= ratio
        report["since"] *= ratio


def _amend(order: dict[str, Any], arguments: dict[str, Any], *, active: bool) -> str:
    sizes = {"quantity", "cash_quantity"} & arguments.keys()
    if not active and not (status(order) == "FILLED" and sizes):
        return REFUSED
    if ("quantity" if order["cash"] is not None else "cash_quantity") in arguments:
        return REFUSED
    changed = False
    if "limit_price" in arguments:
        if not order["has_limit"]:
            return REFUSED
        changed = Fraction(order["limit"]) != Fraction(arguments["limit_price"])
        order["limit"] = arguments["limit_price"]
    if "cash_quantity" in arguments:
        changed = order["cash"] != Fraction(arguments["cash_quantity"])
        order["cash"] = Fraction(arguments["cash_quantity"])
        order["done"] = order["done"] and not changed
    if "quantity" in arguments:
        quantity = Fraction(arguments["quantity"])
        if quantity != order["ordered"] and quantity < filled(order):
            return REFUSED
        changed = quantity != order["ordered"]
        order["ordered"] = quantity
    name = arguments.get("client_order_id")
    changed |= name not in (None, order["client"])
    changed |= arguments.get("broker_order_id") not in (None, order["broker"])
    replaces = [n for n, (kind, _) in enumerate(order["asked"]) if kind == "replace"]
    if not changed and not replaces:
        return REPEAT
    # An id that the order has already answers as none does.
    given = name if name != order["client"] else None
    answered = [n for n in replaces if order["asked"][n][1] == given] or replaces
    if answered:
        del order["asked"][answered[0]]
    order["client"] = name or order["client"]
    order["broker"] = arguments.get("broker_order_id") or order["broker"]
    return DONE


def _content(report: dict[str, Any]) -> tuple[Any, ...]:
    return (*report["told"], report["commission"], report["fee_in"])


def _is_told_as(known: dict[str, Any], report: dict[str, Any]) -> bool:
    now = (known["quantity"], known["price"], known["commission"], known["fee_in"])
    return _content(report) in (_content(known), now)


def _report(
    identifier: str | None,
    arguments: dict[str, Any],
    fees: Fraction,
    *,
    venue: str | None,
    fee_in: str | None = None,
    instead_of: str | None = None,
) -> dict[str, Any]:
    quantity, price = Fraction(arguments["quantity"]), Fraction(arguments["price"])
    return {
        "id": None if identifier == "0" else identifier,
        "venue": venue,
        "quantity": quantity,
        "price": price,
        "told": (quantity, price),
        "since": Fraction(1),
        "commission": fees,
        "fee_in": fee_in,
        "stands": True,
        "busted": False,
        "instead_of": instead_of,
    }


def _fill(order: dict[str, Any], arguments: dict[str, Any]) -> str:
    report = _report(
        arguments["execution_id"],
        arguments,
        Fraction(arguments["commission"]),
        venue=arguments.get("venue") or order["venue"],
        fee_in=arguments.get("commission_currency"),
    )
    same = [
        known
        for known in order["reports"]
        if report["id"] is not None and (known["id"], known["venue"]) == (report["id"], report["venue"])
    ]
    if same:
        return REPEAT if any(_is_told_as(known, report) for known in same) else REFUSED
    said = arguments.get("from_venue")
    if order["life"] == "REJECTED" and said is False:
        return REFUSED
    is_late = order["life"] in ("CANCELLED", "EXPIRED") and arguments["occurred_at"] > order["ended_at"]
    if is_late and (said is False or (said is None and order["life"] == "EXPIRED")):
        return REFUSED
    over = order["cash"] is None and filled(order) + report["quantity"] > order["ordered"]
    if over and not arguments.get("allow_overfill"):
        return REFUSED
    if is_late or (order["was_rejected"] and order["life"] not in ("CANCELLED", "EXPIRED")):
        order["after_end"] = True
    if order["life"] == "REJECTED":
        order["life"] = "working"
    order["reports"].append(report)
    order["sent"] = True
    return DONE


def _bust(order: dict[str, Any], identifier: str) -> str:
    same_id = [known for known in order["reports"] if known["id"] == identifier]
    standing = [known for known in same_id if known["stands"]]
    if len(standing) > 1:
        return REFUSED
    if standing:
        standing[0]["stands"] = False
        standing[0]["busted"] = True
        return DONE
    return REPEAT if same_id and same_id[-1]["busted"] else REFUSED


def _correct(order: dict[str, Any], arguments: dict[str, Any]) -> str:
    old_id = arguments["execution_id"]
    new_id = arguments["new_execution_id"] or old_id
    same_id = [known for known in order["reports"] if known["id"] == old_id]
    standing = [known for known in same_id if known["stands"]]
    if not same_id or len(standing) > 1:
        return REFUSED
    old = standing[0] if standing else same_id[-1]
    new = _report(
        new_id, arguments, old["commission"], venue=old["venue"], fee_in=old["fee_in"], instead_of=old_id
    )
    # A correction gives the quantity in the shares at the time of its fill.
    new["since"] = old["since"]
    new["quantity"] *= old["since"]
    new["price"] /= old["since"]
    if new_id == old_id:
        if standing and _is_told_as(old, new):
            return REPEAT
    else:
        known_new = [k for k in order["reports"] if (k["id"], k["venue"]) == (new_id, old["venue"])]
        if known_new:
            repeated = [k for k in known_new if k["instead_of"] == old_id and _is_told_as(k, new)]
            return REPEAT if repeated else REFUSED
    if not standing:
        return REFUSED
    if order["cash"] is None and filled(order) - old["quantity"] + new["quantity"] > order["ordered"]:
        return REFUSED
    old["stands"] = False
    order["reports"].append(new)
    return DONE


# ---- positions ---------------------------------------------------------------------------------------------


def new_position(signed: Fraction, price: Fraction, fees: Fraction, multiplier: Fraction) -> dict[str, Any]:
    """A position as it is opened. `turnover` is what went through it, the scale of its rounding."""
    position: dict[str, Any] = {
        "multiplier": multiplier,
        "facts": [],
        "mark": None,
        "marked_at": None,
        "turnover": 0,
    }
    _add_fact(position, _fact(None, signed, price, fees))
    return position


def _fact(
    identifier: str | None,
    signed: Fraction,
    price: Fraction,
    fees: Fraction,
    *,
    whole: Fraction | None = None,
    whole_fees: Fraction | None = None,
) -> dict[str, Any]:
    """What a venue reports; `shares` says how many of today's each of its shares is."""
    return {
        "id": identifier,
        "signed": signed,
        "price": price,
        "fees": fees,
        "whole": abs(signed) if whole is None else whole,
        "whole_fees": fees if whole_fees is None else whole_fees,
        "is_part": whole is not None,
        "shares": Fraction(1),
        "stands": True,
        "busted": False,
        "instead_of": None,
    }


def _add_fact(position: dict[str, Any], fact: dict[str, Any]) -> None:
    position["facts"].append(fact)
    position["turnover"] += abs(fact["signed"] * fact["price"] * position["multiplier"]) + abs(fact["fees"])


def position_now(position: dict[str, Any]) -> dict[str, Fraction]:
    """What is open and what it cost, what was realised and what was paid: average cost of the facts that stand."""
    quantity = cost = realized = fees = Fraction(0)
    for fact in position["facts"]:
        if not fact["stands"]:
            continue
        signed, value = fact["signed"] * fact["shares"], fact["signed"] * fact["price"]
        fees += fact["fees"]
        if quantity * signed >= 0:
            quantity, cost = quantity + signed, cost + value
            continue
        closed = min(abs(signed), abs(quantity))
        cost_of_closed, value_of_closed = cost * closed / abs(quantity), value * closed / abs(signed)
        realized -= (value_of_closed + cost_of_closed) * position["multiplier"]
        quantity += signed
        cost = cost - cost_of_closed + value - value_of_closed
    return {"quantity": quantity, "cost": cost, "realized": realized, "commission": fees}


def command_position(  # noqa: PLR0911, PLR0912 - one answer for each command
    book: list[dict[str, Any]], method: str, arguments: dict[str, Any]
) -> str:
    """Do one command to the last position of `book`; a flip adds another."""
    position = book[-1]
    if method == "split":
        ratio = Fraction(arguments["new"]) / Fraction(arguments["old"])
        for fact in position["facts"]:
            fact["shares"] *= ratio
        if position["marked_at"] is None or position["marked_at"] <= arguments["occurred_at"]:
            position["mark"] = None if position["mark"] is None else position["mark"] / ratio
            position["marked_at"] = arguments["occurred_at"]
        return DONE
    if method == "bust_fill":
        return _bust_fact(position, arguments["execution_id"])
    if method == "correct_fill":
        return _correct_fact(position, arguments)
    identifier = arguments.get("execution_id")
    if identifier is not None:
        fact = _fact(
            identifier, _signed(arguments), Fraction(arguments["price"]), Fraction(arguments["commission"])
        )
        known = [one for one in position["facts"] if one["id"] == identifier]
        if known:
            return REPEAT if any(_says_the_same_fact(one, fact) for one in known) else REFUSED
    quantity = position_now(position)["quantity"]
    if quantity == 0:
        return REFUSED
    if method == "mark":
        if position["marked_at"] is None or arguments["occurred_at"] >= position["marked_at"]:
            position["mark"], position["marked_at"] = Fraction(arguments["price"]), arguments["occurred_at"]
        return DONE
    price = position["mark"] if arguments["price"] is None else Fraction(arguments["price"])
    if price is None:
        return REFUSED
    fees = Fraction(arguments.get("commission", 0))
    sign = 1 if quantity > 0 else -1
    if method == "close":
        signed = -quantity
    elif method == "add":
        signed = sign * Fraction(arguments["quantity"])
    elif method == "reduce":
        signed = -sign * Fraction(arguments["quantity"])
        if abs(signed) > abs(quantity):
            return REFUSED
    else:
        signed = _signed(arguments)
    if signed * quantity > 0 or abs(signed) <= abs(quantity):
        _add_fact(position, _fact(identifier, signed, price, fees))
        return DONE
    parts = [-quantity, signed + quantity]
    whole: dict[str, Any] = {"whole": abs(signed), "whole_fees": fees}
    closing, opening = (_fact(identifier, part, price, fees * part / signed, **whole) for part in parts)
    _add_fact(position, closing)
    opposite = new_position(opening["signed"], price, opening["fees"], position["multiplier"])
    opposite["facts"] = [opening]
    book.append(opposite)
    return DONE


def _signed(arguments: dict[str, Any]) -> Fraction:
    return Fraction(arguments["quantity"]) * (1 if arguments["side"] == "BUY" else -1)


def _says_the_same_fact(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if (one["signed"] > 0) is not (other["signed"] > 0) or one["whole_fees"] != other["whole_fees"]:
        return False
    if (one["whole"], one["price"]) == (other["whole"], other["price"]):
        return True
    was_split = (
        one["shares"] != 1 and not one["is_part"]
    )  # then the report may come again in the shares of today
    today = [(abs(each["signed"]) * each["shares"], each["price"] / each["shares"]) for each in (one, other)]
    return was_split and today[0] == today[1]


def _bust_fact(position: dict[str, Any], identifier: str) -> str:
    known = [one for one in position["facts"] if one["id"] == identifier]
    standing = [one for one in known if one["stands"]]
    if standing:
        standing[-1]["stands"] = False
        standing[-1]["busted"] = True
        return DONE
    return REPEAT if known and known[-1]["busted"] else REFUSED


def _correct_fact(position: dict[str, Any], arguments: dict[str, Any]) -> str:
    old_id = arguments["execution_id"]
    new_id = arguments["new_execution_id"] or old_id
    known = [one for one in position["facts"] if one["id"] == old_id]
    if not known:
        return REFUSED
    standing = [one for one in known if one["stands"]]
    old = standing[-1] if standing else known[-1]
    quantity = Fraction(arguments["quantity"])
    new = dict(
        old,
        id=new_id,
        signed=quantity if old["signed"] > 0 else -quantity,
        price=Fraction(arguments["price"]),
        whole=old["whole"] + quantity - abs(old["signed"]),
        stands=True,
        busted=False,
        instead_of=old_id,
    )
    if new_id == old_id:
        if standing and _says_the_same_fact(new, old):
            return REPEAT
    else:
        known_new = [one for one in position["facts"] if one["id"] == new_id]
        if known_new:
            repeated = [
                one for one in known_new if one["instead_of"] == old_id and _says_the_same_fact(one, new)
            ]
            return REPEAT if repeated else REFUSED
    if not standing:
        return REFUSED
    old["stands"] = False
    # The corrected fill happened when the first one did, so it is averaged at that place.
    place = next(number for number, one in enumerate(position["facts"]) if one is old)
    position["facts"].insert(place + 1, new)
    position["turnover"] += abs(new["signed"] * new["price"] * position["multiplier"])
    return DONE


# ---- portfolios --------------------------------------------------------------------------------------------


_SIGNS = {
    "DEPOSIT": 1,
    "TRANSFER_IN": 1,
    "REBATE": 1,
    "WITHDRAWAL": -1,
    "TRANSFER_OUT": -1,
    "BORROW_FEE": -1,
    "ACCOUNT_FEE": -1,
    "TAX": -1,
}
_CAPITAL = ("DEPOSIT", "WITHDRAWAL", "TRANSFER_IN", "TRANSFER_OUT")
_WITHIN_CASH = ("WITHDRAWAL", "TRANSFER_OUT", "ACCOUNT_FEE", "BORROW_FEE", "CONVERSION")


def new_portfolio(capital: Fraction, currency: str | None = None) -> dict[str, Any]:
    """A portfolio as it begins: all that it is follows from its lists of trades and movements of cash."""
    return {
        "own": currency,
        "capital": capital,
        "may_go_below_zero": False,
        "trades": [],
        "changes": [],
        "moves": [],
    }


def portfolio_sums(portfolio: dict[str, Any]) -> dict[str, dict[str | None, Fraction]]:
    """The sums by currency; the portfolio's own is None."""
    names = ("cash", "results", "fees", "income", "deposits", "conversions", "won", "lost")
    sums: dict[str, dict[str | None, Fraction]] = {name: {} for name in names}

    def add(name: str, currency: str | None, amount: Fraction) -> None:
        key = None if currency == portfolio["own"] else currency
        sums[name][key] = sums[name].get(key, Fraction(0)) + amount

    add("cash", None, portfolio["capital"])
    for trade in portfolio["trades"]:
        if trade["status"] != "COUNTED":
            continue
        add("cash", trade["currency"], trade["flow"])
        add("fees", trade["fee_currency"], trade["fees"])
        if trade["fee_currency"] != trade["currency"]:
            add("cash", trade["fee_currency"], -trade["fees"])
        if trade["result"] is not None:
            add("results", trade["currency"], trade["result"])
            add("won", trade["currency"], max(trade["result"], Fraction(0)))
            add("lost", trade["currency"], max(-trade["result"], Fraction(0)))
    for currency, change in portfolio["changes"]:
        add("cash", currency, change)
        add("results", currency, change)
        add("won", currency, max(change, Fraction(0)))
        add("lost", currency, max(-change, Fraction(0)))
    for move in portfolio["moves"]:
        add("cash", move["currency"], move["amount"])
        if move["kind"] == "CONVERSION":
            add("conversions", move["currency"], move["amount"])
            add("conversions", move["into"], move["came"])
            add("cash", move["into"], move["came"])
        else:
            add("deposits" if move["kind"] in _CAPITAL else "income", move["currency"], move["amount"])
    return sums


def command_portfolio(  # noqa: PLR0911 - a rule for each refusal
    portfolio: dict[str, Any], method: str, arguments: dict[str, Any]
) -> str:
    """Do one command to `portfolio`."""
    if method == "record_trade":
        return _record_trade(portfolio, arguments)
    if method in ("bust_trade", "correct_trade"):
        return _take_back(portfolio, method, arguments)
    own = portfolio["own"]
    if method == "convert":
        out, came = Fraction(arguments["from_amount"]), Fraction(arguments["to_amount"])
        source = arguments["from_currency"] or own
        into = arguments["to_currency"] or own
        if out <= 0 or came <= 0 or source is None or into is None or source == into:
            return REFUSED
        return _move(
            portfolio, "CONVERSION", source, -out, known_id=arguments["external_id"], into=into, came=came
        )
    amount = Fraction(arguments["amount"])
    kind = {"deposit": "DEPOSIT", "withdraw": "WITHDRAWAL"}.get(method) or str(arguments["kind"])
    if method in ("deposit", "withdraw"):
        if amount <= 0:
            return REFUSED
        amount *= _SIGNS[kind]
    if kind == "CONVERSION" or not amount or amount * _SIGNS.get(kind, 0) < 0:
        return REFUSED
    return _move(portfolio, kind, arguments["currency"] or own, amount, known_id=arguments["external_id"])


def _move(
    portfolio: dict[str, Any],
    kind: str,
    currency: str | None,
    amount: Fraction,
    *,
    known_id: str | None,
    into: str | None = None,
    came: Fraction | None = None,
) -> str:
    move = {"kind": kind, "currency": currency, "amount": amount, "id": known_id, "into": into, "came": came}
    for one in portfolio["moves"]:
        if known_id not in (None, "0") and (one["kind"], one["id"]) == (kind, known_id):
            told = _agree(one["currency"], currency) and _agree(one["into"], into)
            return REPEAT if told and (one["amount"], one["came"]) == (amount, came) else REFUSED
    cash = portfolio_sums(portfolio)["cash"].get(
        None if currency == portfolio["own"] else currency, Fraction(0)
    )
    if (
        not portfolio["may_go_below_zero"]
        and kind in _WITHIN_CASH
        and -amount > max(cash, Fraction(0))
        and amount < 0
    ):
        return REFUSED
    portfolio["moves"].append(move)
    return DONE


def _record_trade(portfolio: dict[str, Any], arguments: dict[str, Any]) -> str:
    currency = arguments["currency"] or portfolio["own"]
    fee_currency = arguments["commission_currency"] or currency
    fees = Fraction(arguments["commission"])
    result = None if arguments["realized_pnl"] is None else Fraction(arguments["realized_pnl"])
    flow = arguments.get("cash_flow")
    if flow is None:
        flow = (result or 0) - (fees if fee_currency == currency else 0)
    trade = {
        "id": arguments["trade_id"],
        "of": (arguments["order_id"], arguments["venue"]),
        "result": result,
        "fees": fees,
        "flow": Fraction(flow),
        "currency": currency,
        "fee_currency": fee_currency,
        "status": "COUNTED",
    }
    if (known := _repeats(portfolio, trade)) is not None:
        return known
    portfolio["trades"].append(trade)
    return DONE


def _take_back(  # noqa: PLR0911 - a rule for each refusal
    portfolio: dict[str, Any], method: str, arguments: dict[str, Any]
) -> str:
    trade_id, of = arguments["trade_id"], (arguments["order_id"], arguments["venue"])
    known = [one for one in portfolio["trades"] if (one["id"], one["of"]) == (trade_id, of)]
    if trade_id in (None, "0") or not known:
        return REFUSED
    old = next((one for one in known if one["status"] == "COUNTED"), known[-1])
    change = (old["currency"], Fraction(arguments["realized_pnl_change"]))
    if method == "bust_trade":
        if old["status"] != "COUNTED":
            return REPEAT if old["status"] == "BUSTED" else REFUSED
        old["status"] = "BUSTED"
        portfolio["changes"].append(change)
        return DONE
    result = Fraction(arguments["realized_pnl"])
    new_id = trade_id if arguments["new_trade_id"] is None else arguments["new_trade_id"]
    in_flow = old["fees"] if old["fee_currency"] == old["currency"] else 0
    new = {**old, "id": new_id, "result": result, "flow": result - in_flow, "status": "COUNTED"}
    if new_id == trade_id:
        if _says_the_same(old, new):
            return REPEAT
    elif (repeated := _repeats(portfolio, new)) is not None:
        return repeated
    if old["status"] != "COUNTED":
        return REFUSED
    old["status"] = "CORRECTED"
    portfolio["trades"].append(new)
    portfolio["changes"].append(change)
    return DONE


def _repeats(portfolio: dict[str, Any], trade: dict[str, Any]) -> str | None:
    known = [one for one in portfolio["trades"] if (one["id"], one["of"]) == (trade["id"], trade["of"])]
    if trade["id"] in (None, "0") or not known:
        return None
    return REPEAT if any(_says_the_same(one, trade) for one in known) else REFUSED


def _says_the_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    facts = ("result", "fees", "flow")
    in_coin = [
        each["fee_currency"] if each["fee_currency"] != each["currency"] else None for each in (one, other)
    ]
    return (
        [one[name] for name in facts] == [other[name] for name in facts]
        and _agree(one["currency"], other["currency"])
        and in_coin[0] == in_coin[1]
    )


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other
