"""How the things that the cloud depends on are: each as one :class:`Check`, with what to do about it.

Nothing here raises, starts or changes anything. A feature adds its check to ``check_cloud``, which a running
cloud is asked, and to ``check_stopped`` where it can be told without one.
"""

from shmastra_cloud.doctor.check import Check
from shmastra_cloud.doctor.cloud import check_cloud, check_stopped, public_url
from shmastra_cloud.doctor.files import check_files
from shmastra_cloud.doctor.keys import provider_keys
from shmastra_cloud.doctor.machine import check_machine

__all__ = [
    "Check",
    "check_cloud",
    "check_files",
    "check_machine",
    "check_stopped",
    "provider_keys",
    "public_url",
]
