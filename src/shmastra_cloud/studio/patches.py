"""What is changed in Studio's own scripts: requests that leave the origin or must fail, words shown twice.

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
# A message that was sent and then read back under the server's id: shown once. It is a new one of those read,
# by the same user, with the same words.
_READ_BACK = re.compile(
    rb"(?P<before>(?P<old>\w+)=new Map\(\w+\.formattedMessages\.map\(.{1,200}?"
    rb"(?P<ids>\w+)=new Set\((?P<read>\w+)\.map\(\w+=>\w+\.id\)\);return\[.{1,100}?"
    rb"\.filter\((?P<one>\w+)=>)!(?P=ids)\.has\((?P=one)\.id\)\)"
)
_ONCE = (
    rb"\g<before>!\g<ids>.has(\g<one>.id)&&!(\g<one>.role==='user'&&\g<read>.some(same=>same.role==='user'"
    rb"&&!\g<old>.has(same.id)&&String(same.content.parts.map(part=>part.text))"
    rb"===String(\g<one>.content.parts.map(part=>part.text)))))"
)
# Whether code can be made out of text: a question that the page's policy refuses, and notes as an attempt.
_EVAL = re.compile(rb'try\{(?:const \w+=Function;)?return new \w+\(""\),!0\}catch\{return!1\}')


def patched(script: bytes) -> bytes:
    """Return a script of the bundle with what is changed in it."""
    script = _EVAL.sub(b"return!1", _ICONS.sub(b"!0||", script))
    return _READ_BACK.sub(_ONCE, _THREAD.sub(_LOOK_UP, script))
