"""What is told of a web process to those who run it: Prometheus metrics and OpenTelemetry spans.

It hangs on the gateway's usage sink and goes around the gateway from outside; it raises no errors of its own.
Metrics are plain numbers until somebody asks. Neither library is loaded where nothing is configured.
"""

from shmastra_cloud.telemetry.database import Asked
from shmastra_cloud.telemetry.metrics import Metrics
from shmastra_cloud.telemetry.parts import Telemetry, Watched

__all__ = ["Asked", "Metrics", "Telemetry", "Watched"]
