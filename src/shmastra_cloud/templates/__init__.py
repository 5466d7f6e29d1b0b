"""The recipe of the template that every sandbox starts from, and Studio's bundle, which comes with it.

TemplateError
└── BuildFailed    a step of the recipe failed; nothing half-built is left under the template's name
"""

from shmastra_cloud.templates.build import (
    SOURCE,
    build,
    install,
    is_built,
    is_installed,
    source_version,
    studio_bundle,
)
from shmastra_cloud.templates.errors import BuildFailed, TemplateError

__all__ = [
    "SOURCE",
    "BuildFailed",
    "TemplateError",
    "build",
    "install",
    "is_built",
    "is_installed",
    "source_version",
    "studio_bundle",
]
