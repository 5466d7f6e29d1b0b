"""What is changed in Studio's own scripts so that no request leaves the origin and none is known to fail.

The patterns are those of the npm package ``mastra`` 1.31, whose names are shortened anew with every release.
"""

from __future__ import annotations

import re

# Provider icons: those of the bundle itself, where Studio would ask models.dev for each.
_ICONS = re.compile(rb'\["netlify","mastra"\]\.includes\(\w+\)\|\|')
# A thread that has not begun: looked for among the existing ones first, where Studio would ask for it and
# get 404. More threads than one page holds: asked for as before.
_THREAD = re.compile(
    rb"(?P<get>(?P<client>\w+)\.getMemoryThread\(\{threadId:(?P<thread>\w+),agentId:(?P<agent>\w+)\}\)"
    rb"\.get\(\{requestContext:(?P<context>\w+)\}\)),enabled:"
)
_LOOK_UP = (
    rb"\g<client>.listMemoryThreads({agentId:\g<agent>,requestContext:\g<context>})"
    rb".then(all=>all.hasMore||all.threads.some(one=>one.id===\g<thread>)?\g<get>:null),enabled:"
)


def patched(script: bytes) -> bytes:
    """Return a script of the bundle with what is changed in it."""
    return _THREAD.sub(_LOOK_UP, _ICONS.sub(b"!0||", script))
