"""Watches the dev server of one sandbox, repairs it, and tells the cloud.

``decide`` holds every decision, without I/O: events in, commands out. The other files carry them out. Nothing
here needs more than Debian 12's Python and its standard library.

Errors::

    HealerError
    ├── NoSettings       `.env` cannot be read, or names no cloud
    └── RestartFailed    pm2 could not start the dev server
"""
