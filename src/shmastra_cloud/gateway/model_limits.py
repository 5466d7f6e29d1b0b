"""What must be known of models before a call: how much they can say, and whether they think unseen.

``genai-prices`` knows context windows but no output limits, so those stand here, as the providers' model
pages gave them. A model that no line fits is taken to be able to say :data:`DEFAULT_OUTPUT_LIMIT` tokens:
as much as the longest-winded of those that are known, so that rather too much is reserved for it.
"""

from __future__ import annotations

import re
from functools import lru_cache

DEFAULT_OUTPUT_LIMIT = 128_000
# The first pattern found in a model's name, in lower case and without its vendor's prefix, is the one.
_LIMITS = tuple(
    (re.compile(pattern), limit)
    for pattern, limit in (
        (r"embed|moderation|^tts-|^whisper", 0),
        (r"^gpt-4o-mini-tts|transcribe", 4096),
        (r"realtime", 4096),
        (r"^(?:gpt|chatgpt)-image", 65_536),
        (r"^gpt-5.*-chat|^gpt-4o|^gpt-audio|^chatgpt-4o", 16_384),
        (r"^gpt-4\.1", 32_768),
        (r"^gpt-4-turbo|^gpt-4-.*preview|^gpt-3\.5", 4096),
        (r"^gpt-4(?:-\d{4})?$", 8192),
        (r"^o1-preview", 32_768),
        (r"^o1-mini", 65_536),
        (r"^o\d", 100_000),
        (r"^claude-(?:2|3-(?:haiku|opus|sonnet)|instant)", 4096),
        (r"^claude-3[-.]5", 8192),
        (r"^claude-opus-4(?:-[01])?(?:-\d{8})?$", 32_000),
        (r"^claude-(?:3[-.]7|sonnet-4(?:-[05])?|haiku-4-5|opus-4-5)(?:-\d{8}|-latest)?$", 64_000),
        (r"^gemini-(?:1|2\.0)", 8192),
        (r"^gemini-2\.5-flash-image|^gemini-.*-image", 32_768),
        (r"^gemini-.*-tts", 16_384),
        (r"^gemini-(?:2\.5|3)", 65_536),
    )
)
_HIDDEN = re.compile(
    r"^o\d|^gpt-(?:[5-9]|\d\d)(?!.*-chat)|^codex|^computer-use"
    r"|^claude-(?:(?:opus|sonnet|haiku)-)?(?:[4-9]|\d\d)|^claude-(?!\d|opus|sonnet|haiku|instant|v\d)"
    r"|^gemini-(?:2\.5|[3-9]|\d\d)(?!.*(?:-image|-tts|embed))|^gemini-(?:flash|pro)"
    r"|^grok-(?:[4-9]|\d\d|code)(?!.*non-reasoning)"
)


@lru_cache(maxsize=1024)
def output_limit(model: str | None) -> int:
    """Return how many tokens a model can say in one answer, hidden ones too; rather too many than too few."""
    name = _bare(model)
    return next((limit for pattern, limit in _LIMITS if pattern.search(name)), DEFAULT_OUTPUT_LIMIT)


@lru_cache(maxsize=1024)
def hides_output(model: str | None) -> bool:
    """Whether a model may produce billed output that its stream doesn't show while it is produced.

    OpenAI's o series and GPT-5 show nothing or a summary of their reasoning, and Gemini from 2.5 on the same.
    Claude from 4 on, asked to think, streams a summary and bills the whole. Models that stream their
    reasoning itself (DeepSeek, Qwen, gpt-oss, what vLLM and Ollama serve) hide nothing.
    """
    return _HIDDEN.search(_bare(model)) is not None


def _bare(model: str | None) -> str:
    name = (model or "").lower().rpartition("/")[2]
    return re.sub(r"^(?:\w+\.)?anthropic\.", "", name)  # as AWS names them
