"""Mastra Studio: the static bundle, and what is put into its page.

StudioError
└── BundleMissing    the bundle is not in the data folder; the message names the command that fetches it
"""

from shmastra_cloud.studio.bundle import Bundle
from shmastra_cloud.studio.errors import BundleMissing, StudioError
from shmastra_cloud.studio.routes import StudioParts, router

__all__ = ["Bundle", "BundleMissing", "StudioError", "StudioParts", "router"]
