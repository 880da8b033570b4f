"""Files that one does not mean to send: environment files and private keys."""

from __future__ import annotations

import os

_LARGEST = 16 << 10
"""Keys are small; a larger file is not looked into."""


def by_name(name: bytes) -> str | None:
    """What a file is by its name, if it is a secret."""
    text = name.decode("utf-8", "replace").lower()
    if text == ".env" or (text.startswith(".env.") and not text.endswith(("example", "sample", "template", "dist"))):
        return "a file of environment values"
    if text in (".netrc", ".pypirc", ".git-credentials"):
        return "a file of passwords"
    known = ("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk")
    return "a private key" if text in known or text.endswith((".ppk", ".p12", ".pfx")) else None


def by_text(path: bytes, size: int) -> str | None:
    """The same by what is in it. Of a large file only whether it can be read, so that all is known before the packing."""
    if size > _LARGEST:
        if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(13, "Permission denied", path)
        return None
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        text = file.read(_LARGEST)
    lines = (it.strip() for it in text.split(b"\n"))
    is_key = any(it.startswith(b"-----BEGIN ") and it.endswith(b"PRIVATE KEY-----") for it in lines)
    return "a private key" if is_key else None
