"""The answer of a list: it reads like a list, and what is known of its entities goes with every part of it."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal

import pytest

from eventstore.domain import Order, OrderSide
from eventstore.repositories import Page

A, B, C = (Order.create_market_order(symbol, Decimal(1), OrderSide.BUY) for symbol in "ABC")
PAGE = Page([A, B, C], last_good_ids=[B.id])


def test_it_reads_like_a_list():
    """It equals a list from either side, has a length and an order, and is false where it is empty."""
    assert PAGE == [A, B, C]
    assert [A, B, C] == PAGE
    assert PAGE != [A, B]
    assert Page([A, B, C]) == PAGE
    assert Page() == []
    assert not Page()
    assert (len(PAGE), PAGE[0], PAGE[-1], [*PAGE], [*reversed(PAGE)]) == (3, A, C, [A, B, C], [C, B, A])
    assert B in PAGE
    assert PAGE.index(C) == 2
    first, *rest = PAGE
    assert (first, rest) == (A, [B, C])
    with pytest.raises(IndexError):
        PAGE[3]
    assert PAGE != (A, B, C)


def test_it_cannot_be_changed():
    """Nothing is assigned or added to it, and it is no key of a dictionary."""
    with pytest.raises(TypeError):
        PAGE[0] = B  # type: ignore[index]
    with pytest.raises(AttributeError):
        PAGE.more = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        hash(PAGE)


@pytest.mark.parametrize(
    ("part", "entities", "known"),
    [
        (PAGE[:2], [A, B], {B.id}),
        (PAGE[::-1], [C, B, A], {B.id}),
        (PAGE[2:], [C], set()),
        (PAGE[1:][0:1], [B], {B.id}),
        (PAGE.__add__([A]), [A, B, C, A], {B.id}),
        (PAGE.__radd__([A]), [A, A, B, C], {B.id}),
        (Page([C], last_good_ids=[C.id]) + PAGE, [C, A, B, C], {B.id, C.id}),
        (copy.copy(PAGE), [A, B, C], {B.id}),
        (copy.deepcopy(PAGE), [A, B, C], {B.id}),
        (pickle.loads(pickle.dumps(PAGE)), [A, B, C], {B.id}),
        (Page([A], last_good_ids=[B.id]), [A], set()),
    ],
)
def test_its_parts_know_what_it_knows(part, entities, known):
    """A slice, a sum and a copy are pages, and name exactly those of their own entities that are not up to date."""
    assert type(part) is Page
    assert part == entities
    assert part.last_good_ids == known
    assert part.is_up_to_date is not bool(known)


def test_it_shows_what_it_knows():
    """The text of a page names the entities that are not up to date."""
    assert str(B.id) in repr(PAGE).partition("last_good_ids")[2]
    assert "last_good_ids" not in repr(PAGE[:1])
