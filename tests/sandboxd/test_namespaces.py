import asyncio
import os
import subprocess

import pytest

from sandboxd.namespaces import NetworkNamespace

pytestmark = pytest.mark.engine


async def test_a_socket_stays_in_the_namespace_it_was_made_in() -> None:
    assert os.geteuid() == 0, "this test needs root"
    with subprocess.Popen(  # noqa: ASYNC220 -- a moment
        ["unshare", "--net", "sh", "-c", "ip link set lo up 2>/dev/null; echo x; exec sleep 60"],
        stdout=subprocess.PIPE,
    ) as holder:
        try:
            assert holder.stdout is not None
            await asyncio.to_thread(holder.stdout.read, 1)
            inside, outside = NetworkNamespace(holder.pid), NetworkNamespace(os.getpid())
            listener = await inside.listen(4999)
            with pytest.raises(ConnectionRefusedError):
                await outside.connect(4999)
            listener.close()
            inside.close()
            outside.close()
        finally:
            holder.kill()
