"""posix_spawn(3) by way of ctypes, which lets other threads go on while it waits for the new program's exec.

``subprocess.Popen`` and ``os.posix_spawn`` keep the interpreter's lock for that time, half a millisecond on an idle
machine and several on a busy one: nothing else can happen then, and a second start cannot begin. Measured on two
cores, two threads with this do 1.1 to 1.4 times the starts of a C program that does one after the other, and 1.3 to 2
times those of Popen (bench/spawn.py). It needs glibc 2.29 or musl 1.1.24, for the directory.
"""

import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

_SETSIGDEF = 0x04
_SETSID = 0x80
_SIZE = 512
"""Bytes set aside for libc's structures; the largest, posix_spawnattr_t, has 336."""

_RESET = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these, and what is ignored stays so over an exec."""

# Keeps the lock: these calls only fill in structures.
_quick = ctypes.PyDLL(None)
_posix_spawn = ctypes.CDLL(None).posix_spawn

_Texts = ctypes.Array[ctypes.c_char_p]


class Order:
    """A program to be started, everything prepared. ``spawn`` it from any thread, once.

    It becomes the leader of a session of its own, with descriptors 0, 1 and 2 as given, and the ``kept`` one, if any,
    under its own number. Raises ValueError for what cannot be passed to a program.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        directory: str,
        environment: Mapping[str, str],
        standard: tuple[int, int, int],
        kept: int | None,
    ) -> None:
        self._program, self._directory = argv[0], directory
        self._argv = _texts([os.fsencode(part) for part in argv])
        self._environment = _texts([_variable(*item) for item in environment.items()])
        [where] = _checked([os.fsencode(directory)])
        self._files = ctypes.create_string_buffer(_SIZE)
        _must(_quick.posix_spawn_file_actions_init(self._files))
        for number, descriptor in enumerate(standard):
            _must(_quick.posix_spawn_file_actions_adddup2(self._files, descriptor, number))
        if kept is not None:
            # Onto itself: that lets it live through the exec.
            _must(_quick.posix_spawn_file_actions_adddup2(self._files, kept, kept))
        _must(_quick.posix_spawn_file_actions_addchdir_np(self._files, where))

    def spawn(self) -> int:
        """The pid. Raises OSError, whose ``filename`` is the directory when that is at fault."""
        pid = ctypes.c_int()
        code = _posix_spawn(ctypes.byref(pid), self._argv[0], self._files, _attributes, self._argv, self._environment)
        _quick.posix_spawn_file_actions_destroy(self._files)
        if code:
            raise self._why(code)
        return pid.value

    def _why(self, code: int) -> OSError:
        """libc does not tell which of its steps failed."""
        try:
            os.close(os.open(os.path.join(self._directory, "."), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            return type(error)(error.errno, error.strerror, self._directory)
        return OSError(code, os.strerror(code), self._program)


def keep_to_ourselves() -> None:
    """Programs get none of the descriptors that are open now. Python's own never pass an exec; what a parent process
    has left open would."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def _texts(parts: list[bytes]) -> _Texts:
    return (ctypes.c_char_p * (len(parts) + 1))(*_checked(parts), None)


def _checked(parts: list[bytes]) -> list[bytes]:
    if b"\0" in b"".join(parts):
        raise ValueError("embedded null byte")
    return parts


def _variable(name: str, value: str) -> bytes:
    if not name or "=" in name:
        raise ValueError("illegal environment variable name")
    return os.fsencode(f"{name}={value}")


def _must(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


def _attributes_for_all() -> ctypes.Array[ctypes.c_char]:
    attributes, signals = ctypes.create_string_buffer(_SIZE), ctypes.create_string_buffer(_SIZE)
    _must(_quick.posix_spawnattr_init(attributes))
    _quick.sigemptyset(signals)
    for number in _RESET:
        _quick.sigaddset(signals, int(number))
    _must(_quick.posix_spawnattr_setsigdefault(attributes, signals))
    _must(_quick.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSID | _SETSIGDEF)))
    return attributes


_attributes = _attributes_for_all()
