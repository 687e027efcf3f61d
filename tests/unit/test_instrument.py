"""The rules of an instrument: its id, its increments, how it settles."""

# mypy: disable-error-code="comparison-overlap, no-untyped-call, no-untyped-def, arg-type"
# Decimals are compared with integers on purpose, and the helpers take what a test wants to try.

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from eventstore.domain.instrument import (
    Instrument,
    InstrumentDefined,
    InstrumentKind,
    instrument_id,
    inverse_pnl,
)
from eventstore.domain.money import Settlement
from eventstore.errors import DomainError

D = Decimal
EXPIRY = datetime(2026, 3, 20, 13, 30, tzinfo=UTC)


def future(**values):
    return Instrument(
        **{
            "symbol": "ESH6",
            "venue": "XCME",
            "kind": InstrumentKind.FUTURE,
            "currency": "USD",
            "multiplier": 50,
            "tick_size": D("0.25"),
            "lot_size": 1,
            **values,
        }
    )


def test_its_id_follows_from_symbol_and_venue():
    """Two programs make one id; another venue, or none, is another instrument; a given id is kept."""
    assert future().id == future(currency="EUR").id == instrument_id("ESH6", "XCME")
    ids = {instrument_id("ESH6"), instrument_id("ESH6", "XCME"), instrument_id("ESH6XCME")}
    assert len(ids) == 3
    assert future(id=UUID(int=7)).id == UUID(int=7)


def test_it_keeps_its_id_when_it_is_renamed():
    """Assigned fields become one event; the id stays, and the state is that of the events."""
    instrument = future()
    before = instrument.id
    instrument.symbol = "ES H6"
    instrument.amend_to({"tick_size": None})
    instrument.record_assignments()
    assert instrument.id == before
    [created] = instrument.pending_events
    assert isinstance(created.event, InstrumentDefined)
    assert created.event.symbol == "ES H6"


@pytest.mark.parametrize(
    ("kind", "settlement"),
    [
        ("EQUITY", Settlement.IN_FULL),
        ("SPOT", Settlement.IN_FULL),
        ("OPTION", Settlement.IN_FULL),
        ("FUTURE", Settlement.ON_MARGIN),
        ("PERPETUAL", Settlement.ON_MARGIN),
        ("CFD", Settlement.ON_MARGIN),
    ],
)
def test_it_settles_as_its_kind(kind, settlement):
    """What settles on margin does so unless the instrument says otherwise."""
    assert future(kind=kind).settlement is settlement
    assert future(kind=kind, settlement="IN_FULL").settlement is Settlement.IN_FULL


def test_prices_and_quantities_are_held_to_increments():
    """A multiple passes; anything else is refused with its neighbours."""
    instrument = future()
    assert instrument.check_price("4510.25") == D("4510.25")
    assert instrument.check_price(D("-0.50")) == D("-0.50")
    assert instrument.check_quantity(3) == 3
    with pytest.raises(DomainError, match=r"multiple of 0.25, not 4510.30: 4510.25 or 4510.50") as refusal:
        instrument.check_price(D("4510.30"))
    assert refusal.value.rule == "instrument.price"
    with pytest.raises(DomainError) as refusal:
        instrument.check_quantity(D("0.5"))
    assert refusal.value.rule == "instrument.quantity"
    assert future(tick_size=None, lot_size=None).check_price(D("0.1234567")) == D("0.1234567")


def test_rounding():
    """To the nearest tick, a tie to the even one; quantities down."""
    instrument = future()
    assert instrument.round_price(D("4510.30")) == D("4510.25")
    assert instrument.round_price(D("4510.375")) == D("4510.50")
    assert instrument.round_price(D("4510.125")) == D("4510.00")
    assert instrument.round_price(D("-4510.30"), "DOWN") == D("-4510.50")
    assert instrument.round_price(D("4510.30"), "UP") == D("4510.50")
    assert instrument.round_quantity(D("2.99")) == 2
    assert instrument.round_quantity(D("0.99")) == 0


@given(
    st.decimals(-(10**6), 10**6, places=7),
    st.sampled_from([D("0.01"), D("0.25"), D("0.00000003"), D(7)]),
    st.sampled_from(["NEAREST", "DOWN", "UP"]),
)
def test_what_is_rounded_passes(price, tick, rounding):
    """A rounded price is a multiple of the tick, less than a tick from what it was."""
    instrument = future(tick_size=tick)
    rounded = instrument.round_price(price, rounding)
    assert instrument.check_price(rounded) == rounded
    assert abs(rounded - price) < tick
    if rounding != "NEAREST":
        assert (rounded - price) * (1 if rounding == "UP" else -1) >= 0


def test_an_inverse_contract():
    """100 contracts of a dollar from 50,000 to 40,000 lose 0.0005 coins; the short side gains them."""
    assert inverse_pnl(D(100), D(50_000), D(40_000)) == D("-0.0005")
    assert inverse_pnl(D(-100), D(50_000), D(40_000)) == D("0.0005")
    assert inverse_pnl(D(1), D(3), D(7), multiplier=D(10), decimals=4) == D("1.9048")


def test_expiry():
    """It has expired from its time on; without a time it never does."""
    assert future(expires_at=EXPIRY).is_expired(EXPIRY)
    assert not future(expires_at=EXPIRY).is_expired(EXPIRY - timedelta(microseconds=1))
    assert not future().is_expired(EXPIRY)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: future(symbol=""), "instrument.symbol"),
        (lambda: future(symbol=7), "instrument.symbol"),
        (lambda: future(venue=""), "instrument.venue"),
        (lambda: future(kind="SHARE"), "instrument.kind"),
        (lambda: future(tick_size=0), "instrument.tick_size"),
        (lambda: future(lot_size=0.1), "instrument.lot_size"),
        (lambda: future(is_inverse=True, base="BTC"), "instrument.currency"),
        (lambda: future(tick=D(1)), "instrument.tick"),
        (lambda: future().check_price(1.5), "instrument.price"),
        (lambda: future().check_price("x"), "instrument.price"),
        (lambda: future().check_quantity(0), "instrument.quantity"),
        (lambda: future().check_quantity(D("NaN")), "instrument.quantity"),
        (lambda: future().round_price(D(1), "HALF"), "instrument.rounding"),
        (lambda: future().round_quantity(None), "instrument.quantity"),
        (lambda: instrument_id(""), "instrument.symbol"),
        (lambda: instrument_id("A", 7), "instrument.venue"),
        (lambda: inverse_pnl(1, 0, 1), "instrument.entry_price"),
        (lambda: inverse_pnl(1, 1, 1.5), "instrument.exit_price"),
        (lambda: inverse_pnl(1, 1, 1, multiplier=-1), "instrument.multiplier"),
        (lambda: inverse_pnl(1, 1, 1, decimals=25), "instrument.decimals"),
    ],
)
def test_what_is_refused(call, rule):
    """Bad values are refused by name, in helpers too."""
    with pytest.raises(DomainError) as refusal:
        call()
    assert refusal.value.rule == rule
