"""The plots of a tear sheet: what plotly's script draws in the browser. Its Python code is not imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from html import escape
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

from eventstore.errors import ConfigurationError
from eventstore.printable import printable
from eventstore.tear_sheet.series import Series, thinned

_POINTS_MAX = 3_000
_LINES_MAX = 12
_BARS_MAX = 30
_LABEL_MAX = 60


def script() -> str:
    """Return plotly's script.

    Raises:
        ConfigurationError: plotly is not installed.
    """
    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError("plotly is not installed: pip install 'trading-eventstore[report]'")
    text = Path(found.submodule_search_locations[0], "package_data", "plotly.min.js").read_text(
        encoding="utf-8"
    )
    return text.replace("</script", "<\\/script")


def label(text: str | None) -> str:
    """Return a text from the log as plotly shows it: plotly reads some tags and entities in its labels."""
    shown = printable(text or "(none)")
    return escape(shown if len(shown) <= _LABEL_MAX else f"{shown[:_LABEL_MAX]}…", quote=False)


def equity_plot(total: Series, parts: Sequence[Series], zone: tzinfo) -> dict[str, Any]:
    """Return the plot of equity over time: the sum, and each portfolio if they are few."""
    lines = [_line(total, zone, width=2)]
    if 1 < len(parts) <= _LINES_MAX:
        lines += [_line(one, zone, width=1, visible="legendonly") for one in parts]
    return {"data": lines, "layout": {"yaxis": {"title": _unit(total)}, "showlegend": len(lines) > 1}}


def _line(one: Series, zone: tzinfo, *, width: int, visible: Any = True) -> dict[str, Any]:
    points = thinned(one.points, lambda point: point.equity, _POINTS_MAX)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(one.name),
        "visible": visible,
        "line": {"width": width, "shape": "hv"},
        "x": [_time(point.at, zone) for point in points],
        "y": [_number(point.equity) for point in points],
    }


def drawdown_plot(total: Series, zone: tzinfo) -> dict[str, Any]:
    """Return the plot of the drawdown over time, as an amount below zero."""
    falls = thinned(total.falls(), lambda fall: fall.amount, _POINTS_MAX)
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "drawdown",
        "line": {"width": 1, "shape": "hv"},
        "fill": "tozeroy",
        "x": [_time(fall.at, zone) for fall in falls],
        "y": [_number(-fall.amount) for fall in falls],
    }
    return {"data": [line], "layout": {"yaxis": {"title": _unit(total)}, "showlegend": False}}


def bars_plot(rows: Iterable[tuple[str | None, Decimal]], unit: str | None) -> dict[str, Any]:
    """Return the plot of one amount for each name, the largest ones."""
    largest = sorted(rows, key=lambda row: abs(row[1]), reverse=True)[:_BARS_MAX]
    largest.sort(key=lambda row: row[1])
    bars = {
        "type": "bar",
        "orientation": "h",
        # Names that are equal when they are shown stay apart, because the axis is of numbers.
        "y": list(range(len(largest))),
        "x": [_number(amount) for _, amount in largest],
        "hovertemplate": "%{x:,.2f}<extra></extra>",
        "marker": {"color": ["loss" if amount < 0 else "gain" for _, amount in largest]},
    }
    names = [label(name) for name, _ in largest]
    axis = {"tickvals": list(range(len(names))), "ticktext": names, "automargin": True}
    layout = {
        "yaxis": axis,
        "xaxis": {"title": label(unit) if unit else ""},
        "showlegend": False,
        "height": 120 + 24 * len(names),
    }
    return {"data": [bars], "layout": layout}


def _number(amount: Decimal) -> float | None:
    """Return an amount as JSON has it; None, which is a gap, if no float is so large."""
    number = float(amount)
    return number if isfinite(number) else None


def _time(at: datetime, zone: tzinfo) -> str:
    return at.astimezone(zone).replace(tzinfo=None).isoformat(" ", "milliseconds")


def _unit(one: Series) -> str:
    return label(one.currency) if one.currency else ""
