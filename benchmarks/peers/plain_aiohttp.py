"""A proxy as one writes it with aiohttp, on uvloop: ``programs/aiohttp_proxy.py``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.cloud import free_port

from benchmarks.machine import SERVER_CORE, started
from benchmarks.peers.install import python
from benchmarks.provider import REAL_KEY, Provider
from benchmarks.stage import Server, Stage

NAME = "aiohttp"
_PROGRAM = Path(__file__).parent / "programs/aiohttp_proxy.py"


@contextlib.contextmanager
def serve(here: Stage, provider: Provider) -> Iterator[Server]:
    """Run it; the authority that it trusts stands in ``SSL_CERT_FILE``.

    Raises:
        NotThereError: it cannot be installed or started.
    """
    keys = here.folder / "keys.txt"
    keys.write_text("\n".join(here.keys))
    port = free_port()
    environ = {"PATH": os.environ["PATH"], "REAL_KEY": REAL_KEY}
    if provider.certificates is not None:
        environ["SSL_CERT_FILE"] = str(provider.certificates.authority)
    argv = [str(python()), "-P", str(_PROGRAM), str(port), provider.origin, str(keys)]
    log = here.folder / "aiohttp.log"
    with started(argv, log, core=SERVER_CORE, port=port, environ=environ) as process:
        yield Server(NAME, port, process, here.in_use)
