"""The recipe of the template that every sandbox starts from, and Studio's bundle, which comes with it.

TemplateError
└── BuildFailed    a step of the recipe failed; nothing half-built is left under the template's name
"""

from shmastra_cloud.templates.build import build, is_built, source_version, studio_bundle
from shmastra_cloud.templates.errors import BuildFailed, TemplateError

__all__ = ["BuildFailed", "TemplateError", "build", "is_built", "source_version", "studio_bundle"]
