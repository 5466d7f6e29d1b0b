"""Whether what was sampled over a long time stays as it is: a straight line through the samples."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Trend:
    """What the line says: its level, its rise over all samples, and its rise in an hour."""

    mean: float
    rise: float
    an_hour: float
    tolerated: float

    @property
    def flat(self) -> bool:
        """Whether it rises by no more than is tolerated; falling is flat."""
        return self.rise <= self.tolerated


def trend(samples: list[tuple[float, float]], *, part: float, least: float) -> Trend:
    """Fit a line by least squares through pairs of seconds and a value.

    A rise is tolerated up to ``part`` of the mean, or up to ``least`` where that is more.

    Raises:
        ValueError: there are fewer than ten samples, which say nothing of a trend.
    """
    if len(samples) < 10:
        raise ValueError(f"{len(samples)} samples are too few for a trend; run longer.")
    seconds, values = zip(*samples, strict=True)
    slope = statistics.linear_regression(seconds, values).slope
    mean = statistics.fmean(values)
    return Trend(mean, slope * (seconds[-1] - seconds[0]), slope * 3600, max(part * abs(mean), least))
