"""Runs a command beside an empty file system of the kernel's FUSE, mounted as any type that has a name.

Usage: fuse.py TYPE FOLDER COMMAND..., inside a mount namespace of its own.
"""

import ctypes
import os
import struct
import subprocess
import sys
import threading

LOOKUP, FORGET, GETATTR, STATFS, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 17, 26, 36, 42
NO_ENTRY, NOT_IMPLEMENTED = -2, -38


def mount(kind, folder):
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    if libc.mount(b"host:/export", folder.encode(), kind.encode(), 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"could not mount {kind} on {folder}")
    return device


def answer(opcode):
    """What is in the answer, and its error."""
    if opcode == INIT:
        return struct.pack("<IIIIHHIIHHI28x", 7, 31, 4096, 0, 1, 1, 4096, 1, 0, 0, 0), 0
    if opcode == GETATTR:  # of the root, an empty folder
        times, folder = [0] * 9, [0o40777, 2, 0, 0, 0, 4096, 0]
        return struct.pack("<QIIQ5Q3I7I", 0, 0, 0, 1, *times[1:], *folder), 0
    if opcode == STATFS:
        return struct.pack("<QQQQQIII28x", 0, 0, 0, 0, 0, 4096, 255, 4096), 0
    return b"", NO_ENTRY if opcode == LOOKUP else NOT_IMPLEMENTED


def serve(device):
    while True:
        _, opcode, unique = struct.unpack_from("<IIQ", os.read(device, 1 << 20))
        if opcode not in (FORGET, INTERRUPT, BATCH_FORGET):
            body, error = answer(opcode)
            os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


def main():
    kind, folder, *command = sys.argv[1:]
    threading.Thread(target=serve, args=[mount(kind, folder)], daemon=True).start()
    os._exit(subprocess.run(command).returncode)


main()
