"""``python -m shmastra_cloud`` is ``shmastra``."""

from shmastra_cloud.cli import main

main()
