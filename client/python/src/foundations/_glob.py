"""Patterns of ignore files as regular expressions over bytes.

`atlas` reads them with the crate `globset`; the same folder has to be the same bundle here, so this follows it step by step,
also where it knows more than git: `{a,b}` is an alternative.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Pattern

_ANY, _STAR = b"[^/]", b"[^/]*"
_PREFIX, _SUFFIX, _BETWEEN = b"(?:/?|.*/)", b"/.*", b"(?:/|/.*/)"
"""`**/` at the beginning, `/**` at the end, `/**/` within."""


class Invalid(ValueError):
    """A pattern that says nothing; the text says why."""


def compiled(glob: str) -> Pattern[bytes]:
    """For `fullmatch` with a path."""
    tokens = _Parser(glob).tokens()
    source = b".*" if tokens == [_PREFIX] else b"".join(tokens)
    try:
        return re.compile(source, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise Invalid(str(error)) from error


class _Parser:
    """Each token is its regular expression; a branch of an alternative is a list of them."""

    def __init__(self, glob: str) -> None:
        self.glob = glob
        self.next = 0
        self.previous = ""
        self.current = ""
        self.branches: list[list[bytes]] = [[]]
        self.opened: list[int] = []
        """Where in `branches` each alternative that is open began."""
        self.is_unclosed = False
        """There is a `[` without its `]`: it and all further ones stand for themselves."""

    def tokens(self) -> list[bytes]:
        while self.bump():
            self.token(self.current)
        if self.opened:
            raise Invalid("unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)")
        return self.branches[0]

    def bump(self) -> str:
        self.previous, self.current = self.current, self.peek()
        self.next += 1
        return self.current

    def peek(self) -> str:
        return self.glob[self.next : self.next + 1]

    def token(self, char: str) -> None:
        if char == "?":
            self.push(_ANY)
        elif char == "*":
            self.star()
        elif char == "[" and not self.is_unclosed:
            self.char_class()
        elif char == "{":
            self.opened.append(len(self.branches))
            self.branches.append([])
        elif char == "}":
            self.close()
        elif char == "," and self.opened:
            self.branches.append([])
        elif char == "\\":
            if not self.bump():
                raise Invalid("dangling '\\'")
            self.push(_literal(self.current))
        else:
            self.push(_literal(char))

    def push(self, token: bytes) -> None:
        branch = self.branches[-1]
        # The second of two stars says nothing, and would make matching slow.
        if token != _STAR or branch[-1:] != [_STAR]:
            branch.append(token)

    def close(self) -> None:
        if not self.opened:
            raise Invalid("unopened alternate group; missing '{' (maybe escape '}' with '[}]'?)")
        start = self.opened.pop()
        parts = [it for it in map(b"".join, self.branches[start:]) if it]
        del self.branches[start:]
        # An alternative of nothing is a token too: what follows it does not stand at the beginning.
        self.push(b"(?:" + b"|".join(parts) + b")" if parts else b"")

    def star(self) -> None:
        before = self.previous
        if self.peek() != "*":
            self.push(_STAR)
            return
        self.bump()
        branch = self.branches[-1]
        if not branch:
            if self.peek() in ("", "/"):
                self.push(_PREFIX)
                self.bump()
            else:
                self.push(_STAR)
            return
        begins = before == "/" or (len(self.branches) > 1 and before in (",", "{"))
        ends = not self.peek() or (self.peek() in (",", "}") and len(self.branches) > 1)
        if not begins or not (ends or self.peek() == "/"):
            self.push(_STAR)
            return
        if not self.peek() or self.peek() == "/":
            self.bump()
        last = branch.pop()
        if last in (_PREFIX, _SUFFIX):
            branch.append(last)
        else:
            branch.append(_SUFFIX if ends else _BETWEEN)

    def char_class(self) -> None:
        start = (self.next, self.previous, self.current)
        ranges: list[list[str]] = []
        negated = self.peek() in ("!", "^")
        if negated:
            self.bump()
        first, in_range = True, False
        while True:
            char = self.bump()
            if not char:
                self.next, self.previous, self.current = start
                self.is_unclosed = True
                self.push(_literal("["))
                return
            if char == "]" and not first:
                break
            if char == "-" and not first and not in_range:
                in_range = True
            elif in_range and char != "]":
                ranges[-1][1] = char
                if char < ranges[-1][0]:
                    raise Invalid("invalid range; '%s' > '%s'" % (ranges[-1][0], char))
                in_range = False
            else:
                ranges.append([char, char])
                in_range = False
            first = False
        if in_range:
            ranges.append(["-", "-"])
        inner = [_literal(low) if low == high else _literal(low) + b"-" + _literal(high) for low, high in ranges]
        # Neither what is there nor what is not is a slash, as in git.
        self.push((b"[^/" if negated else b"(?!/)[") + b"".join(inner) + b"]")


def _literal(char: str) -> bytes:
    return re.escape(char.encode("utf-8"))
