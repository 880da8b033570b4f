"""What somebody may have meant who wrote a name that is not known."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


def meant(word: str, known: Iterable[str]) -> str:
    """`, did you mean x?`, or nothing where no known name is like it."""
    from difflib import get_close_matches

    plain = {it.lower().replace("-", "_"): it for it in known}
    found = get_close_matches(word[:64].lower().replace("-", "_"), plain, n=1, cutoff=0.6)
    return ", did you mean %s?" % plain[found[0]] if found else ""
