"""Why Atlas did not do it. What is wrong with an argument is a TypeError or ValueError, as everywhere in Python."""

from __future__ import annotations


class AtlasError(Exception):
    """Something that was asked of Atlas did not happen; the text says what, and what to do."""


class Unreachable(AtlasError):
    """No master answers, or it could not do it for now: the same call may succeed later."""


class Refused(AtlasError):
    """The master understood and does not do it."""

    def __init__(
        self, detail: str, code: str, status: int, field: str | None = None, secrets: tuple[str, ...] = ()
    ) -> None:
        super().__init__(detail)
        self.code = code
        """A word that keeps its meaning: `fits_no_node`, `no_job`, ... (docs/openapi.json lists them)."""
        self.status = status
        """That of HTTP."""
        self.field = field
        """What is wrong in the request, as the command line and job.config.yaml call it."""
        self.secrets = secrets
        """With `secrets_wanted`: the names of those whose values are missing."""

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.code, self.status, self.field, self.secrets)
