"""The other web processes of this machine, which one of them asks for their metrics over their own sockets.

Each process counts for itself, so a scrape that reaches one of them is answered for all. A label tells them
apart: what was counted by one that was replaced begins at 0 again, as a counter may, and no sum goes back.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from prometheus_client import Metric

    from shmastra_cloud.settings import Settings

log = logging.getLogger(__name__)

ASK_SECONDS = 2.0
LABEL = "process"
OF_ALL = frozenset({"shmastra_sandboxes"})


class Siblings:
    """The web processes of one machine, by number."""

    def __init__(self, run: Path, number: int, count: int) -> None:
        self._run, self.number, self.count = run, number, count

    async def texts(self) -> dict[int, bytes | None]:
        """Ask all others at once; None for one that does not answer in time."""
        others = [number for number in range(1, self.count + 1) if number != self.number]
        told = await asyncio.gather(*(self._ask(number) for number in others))
        return dict(zip(others, told, strict=True))

    async def _ask(self, number: int) -> bytes | None:
        import httpx

        transport = httpx.AsyncHTTPTransport(uds=str(self._run / f"web-{number}.sock"))
        try:
            async with httpx.AsyncClient(transport=transport, timeout=ASK_SECONDS) as client:
                answer = await client.get("http://web/metrics")
        except httpx.HTTPError as error:
            log.warning("web process %d tells no metrics (%s)", number, type(error).__name__)
            return None
        return answer.content if answer.status_code == 200 else None


def siblings_of(settings: Settings) -> Siblings | None:
    """Return the processes beside this one; None where it is the only one."""
    if settings.web_number is None or settings.web_workers < 2:
        return None
    return Siblings(settings.run, settings.web_number, settings.web_workers)


def merged(own: int, texts: Mapping[int, bytes | None]) -> bytes:
    """Return what several processes tell as one text: each sample with its process, what is of all once."""
    registry = CollectorRegistry()
    registry.register(_Merged(own, texts))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, own: int, texts: Mapping[int, bytes | None]) -> None:
        self._own, self._texts = own, texts

    def collect(self) -> Iterator[Metric]:
        """Give each family once, with the samples of all."""
        found: dict[str, Metric] = {}
        for number, text in sorted(self._texts.items()):
            for family in text_string_to_metric_families((text or b"").decode()):
                self._add(found, family, number)
        yield from found.values()
        up = GaugeMetricFamily(
            "shmastra_web_process_up", "1 where a web process tells its metrics.", labels=(LABEL,)
        )
        for number, text in sorted(self._texts.items()):
            up.add_metric((str(number),), text is not None)
        yield up

    def _add(self, found: dict[str, Metric], family: Metric, number: int) -> None:
        samples = family.samples
        if family.name not in found:
            found[family.name] = family
            family.samples = []
        if family.name in OF_ALL:
            found[family.name].samples += samples if number == self._own else []
            return
        found[family.name].samples += [
            sample._replace(labels={**sample.labels, LABEL: str(number)}) for sample in samples
        ]
