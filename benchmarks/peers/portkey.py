"""Portkey's open-source gateway on Node: it has no keys of its own, so that the client sends the real one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tests.support.cloud import free_port

from benchmarks.machine import SERVER_CORE, started
from benchmarks.peers.install import node, portkey
from benchmarks.provider import REAL_KEY, Provider
from benchmarks.stage import Server, Stage

NAME = "portkey"


@contextlib.contextmanager
def serve(here: Stage, provider: Provider) -> Iterator[Server]:
    """Run it; the authority that it trusts stands in ``NODE_EXTRA_CA_CERTS``.

    Raises:
        NotThereError: it cannot be installed or started.
    """
    port = free_port()
    environ = {"PATH": os.environ["PATH"], "NODE_ENV": "production", "HOME": str(here.folder)}
    if provider.certificates is not None:
        environ["NODE_EXTRA_CA_CERTS"] = str(provider.certificates.authority)
    argv = [str(node()), str(portkey()), f"--port={port}", "--headless"]
    headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: {provider.origin}/v1")
    log = here.folder / "portkey.log"
    with started(argv, log, core=SERVER_CORE, port=port, environ=environ, folder=here.folder) as process:
        yield Server(NAME, port, process, [REAL_KEY], headers=headers, slow=True)
