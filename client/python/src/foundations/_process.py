"""A process that is not our child: whether it is there, and how it ended, which the kernel tells its parent first.

Until the parent has asked, /proc tells it to others of the same user. Afterwards, from Linux 6.15 on, whoever holds a descriptor
of the process is told as well.
"""

from __future__ import annotations

import os
import sys
import time

UNKNOWN = "unknown"
"""The birth of a process where there is no /proc."""
_PATIENCE = 5.0
"""Seconds that its parent has to ask how it ended, where /proc does not tell us."""
_PIDFD_OPEN = 434
"""The number of the system call, on all machines but one that no Python of ours runs on."""
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_BYTES, _MASK_AT, _STATUS_AT = 64, 0, 60
"""Of the first version of what that answers with, all fields of which stay where they are."""
_BIRTH, _STATE, _STATUS = 19, 0, 49
"""Fields of /proc/PID/stat, counted from behind the name."""


class Process:
    """Somebody else's process, by its number, its moment of birth, and a descriptor of it; -1 = there is none."""

    def __init__(self, number: int, birth: str, descriptor: int = -1) -> None:
        self.number = number
        self.birth = birth
        self.descriptor = descriptor

    def is_there(self) -> bool:
        """Whether it has not ended."""
        if self.descriptor >= 0:
            return not _is_ready(self.descriptor)
        return birth_of(self.number) == self.birth

    def status(self) -> int | None:
        """How it ended, as wait(2) tells it; `None` = nobody knows any more."""
        until = time.monotonic() + _PATIENCE
        while True:
            fields = _fields(self.number)
            # To those who may not know it is told as 0, and so 0 is nobody's word.
            if fields and fields[_BIRTH] == self.birth and int(fields[_STATUS]):
                return int(fields[_STATUS])
            if self.descriptor < 0:
                return None
            try:
                status = _asked(self.descriptor)
            except OSError:
                return None  # an older kernel
            if status is not None or time.monotonic() > until:
                return status
            time.sleep(0.02)


def birth_of(process: int) -> str:
    """When a process began, in the kernel's words; empty = there is none. Numbers of processes are used again."""
    fields = _fields(process)
    if fields:
        return "" if fields[_STATE] in ("Z", "X") else fields[_BIRTH]
    if os.path.exists("/proc/self/stat"):
        return ""
    return UNKNOWN if _answers(process) else ""


def descriptor_of(process: int) -> int:
    """A descriptor that stands for a process as long as it is open; -1 where the kernel has none."""
    if sys.platform != "linux":
        return -1  # there the number is another call's
    try:
        if hasattr(os, "pidfd_open"):
            return int(os.pidfd_open(process))
        import ctypes

        # Before 3.9, or built where the kernel was older: there it takes a little longer.
        return int(ctypes.CDLL(None).syscall(_PIDFD_OPEN, process, 0))
    except (ImportError, OSError, AttributeError):
        return -1


def _fields(process: int) -> list[str]:
    try:
        with open("/proc/%d/stat" % process, encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _answers(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_ready(descriptor: int) -> bool:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _asked(descriptor: int) -> int | None:
    """What the kernel kept of a process; `None` = its parent has not asked yet. Raises OSError where that is not kept."""
    import fcntl
    import struct

    answer = bytearray(_BYTES)
    struct.pack_into("=Q", answer, _MASK_AT, _PIDFD_INFO_EXIT)
    fcntl.ioctl(descriptor, _PIDFD_GET_INFO, answer)
    (mask,) = struct.unpack_from("=Q", answer, _MASK_AT)
    (status,) = struct.unpack_from("=i", answer, _STATUS_AT)
    return status if mask & _PIDFD_INFO_EXIT else None
