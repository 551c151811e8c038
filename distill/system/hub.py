"""The model hub: whether it can be reached, asked once and briefly."""

from __future__ import annotations

from functools import lru_cache

#: Seconds to wait for the hub's first answer.
_PATIENCE = 5.0


@lru_cache(maxsize=4)
def unreachable() -> str | None:
    """Why the hub cannot be asked; ``None`` where it answers.

    Its own client asks each file six times with growing pauses, most of a minute, before it says
    that there is no network.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return None  # the client says so at once, and reads its cache
    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    except Exception as error:  # of a library that is another with each version of the client
        return f"{constants.ENDPOINT} cannot be reached ({error})"
    return None
