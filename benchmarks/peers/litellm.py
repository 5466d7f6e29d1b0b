"""LiteLLM's proxy, one worker, without its database: the keys are looked up by a custom authentication.

Its own virtual keys need Postgres through Prisma, whose engine no package registry has.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.support.cloud import free_port

from benchmarks.machine import SERVER_CORE, started
from benchmarks.peers.install import python
from benchmarks.provider import REAL_KEY, Provider
from benchmarks.stage import Server, Stage
from benchmarks.upstream import MODEL

NAME = "litellm"
_KEYS = Path(__file__).parent / "programs/litellm_keys.py"


@contextlib.contextmanager
def serve(here: Stage, provider: Provider) -> Iterator[Server]:
    """Run it; the authority that it trusts stands in ``SSL_CERT_FILE``.

    Raises:
        NotThereError: it cannot be installed or started.
    """
    folder = here.folder / "litellm"
    folder.mkdir(exist_ok=True)
    shutil.copy(_KEYS, folder)
    (folder / "keys.txt").write_text("\n".join(here.keys))
    served = {"model": f"openai/{MODEL}", "api_base": f"{provider.origin}/v1", "api_key": REAL_KEY}
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": served}],
        "general_settings": {"custom_auth": "litellm_keys.user_api_key_auth"},
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LITELLM_MASTER_KEY": f"sk-{secrets.token_hex(24)}",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "KEYS_FILE": str(folder / "keys.txt"),
    }
    if provider.certificates is not None:
        environ["SSL_CERT_FILE"] = str(provider.certificates.authority)
    port = free_port()
    argv = [str(python().parent / "litellm"), "--config", str(folder / "config.yaml"), "--num_workers", "1"]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    log = here.folder / "litellm.log"
    with started(argv, log, core=SERVER_CORE, port=port, environ=environ, folder=folder) as process:
        yield Server(NAME, port, process, here.in_use, slow=True)
