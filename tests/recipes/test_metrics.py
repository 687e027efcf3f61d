"""The rules and the configuration of docs/recipes/metrics.md name what is there, in the form that the tools read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventstore.database import DatabaseConfig
from tests.conftest import url_of
from tests.recipes.pages import block_with
from tools.lint.findings import ROOT

PAGE = "docs/recipes/metrics.md"
RULES = block_with(PAGE, "yaml", "groups:")
COLLECTOR = block_with(PAGE, "yaml", "receivers:")
SCRAPED = """
import asyncio
from decimal import Decimal
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import generate_latest
from eventstore import EventStore, Order, OrderSide
from tests.waiting import until

metrics.set_meter_provider(MeterProvider(metric_readers=[PrometheusMetricReader()]))

async def main():
    async with EventStore.open() as store:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(Order.create_market_order("ES", Decimal(1), OrderSide.BUY))
        await store.wait_for(uow.last_position)
        await until(lambda: b"eventstore_log_gap_age" in generate_latest())
        print(generate_latest().decode())

asyncio.run(main())
"""


def test_the_alerts_name_metrics_that_are_there(migrated_config: DatabaseConfig):
    """Each metric of a rule, with each label that the rule groups by, is in what Prometheus scrapes."""
    done = subprocess.run(
        [sys.executable, "-c", SCRAPED],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url_of(migrated_config), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    scraped = done.stdout
    for rule in rules():
        expression = rule["expr"]
        named = re.findall(
            r"\b(?:eventstore|db_client)_\w+\b(?=[\)\[ ])", re.sub(r"by \([^)]*\)", "", expression)
        )
        assert named, expression
        for name in named:
            line = re.search(rf"^{name}\{{.*$", scraped, re.MULTILINE)
            assert line, f"{name} is not scraped"
            for label in re.findall(r"by \(([^)]*)\)", expression):
                assert f"{label}=" in line[0], f"{name} has no label {label}"


def rules() -> list[dict[str, Any]]:
    """The rules of the page."""
    (group,) = yaml.safe_load(RULES)["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_the_collectors_pipeline_is_whole():
    """The pipeline uses each component that is configured, and configures each that it uses."""
    read = yaml.safe_load(COLLECTOR)
    used: dict[str, set[str]] = {}
    for pipeline in read.pop("service")["pipelines"].values():
        for kind, names in pipeline.items():
            used.setdefault(kind, set()).update(names)
    assert used == {kind: set(configured) for kind, configured in read.items()}


@pytest.mark.parametrize(
    ("program", "words", "text"),
    [
        ("promtool", ("check", "rules"), RULES),
        ("otelcol", ("validate", "--config"), COLLECTOR),
    ],
)
def test_the_tool_itself_accepts_it(program: str, words: tuple[str, ...], text: str, tmp_path: Path):
    """Prometheus accepts the rules, and the Collector its configuration, where they are installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    file = tmp_path / "config.yaml"
    file.write_text(text)
    done = subprocess.run([found, *words, str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
