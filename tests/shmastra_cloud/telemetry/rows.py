"""Rows of usage for the telemetry's tests."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from shmastra_cloud.gateway import UsageRow

USER = uuid.UUID("11111111-2222-4333-8444-555555555555")


def row(**changes: Any) -> UsageRow:
    return UsageRow(
        user_id=USER,
        provider="openai",
        model="gpt-5-mini",
        purpose="agent",
        input_tokens=10,
        cached_tokens=2,
        reasoning_tokens=1,
        output_tokens=5,
        status=200,
        ttfb_ms=12,
        duration_ms=40,
        ended="complete",
        estimated=False,
        at=datetime.now(UTC),
        id=uuid.uuid4(),
        cache_write_tokens=3,
        cost=Decimal("0.00125"),
    )._replace(**changes)
