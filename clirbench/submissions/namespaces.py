"""Namespaces of Linux, without a package: a process that sees no network, no other process, and few files, all read-only.

Sources: unshare(2), mount(2), pivot_root(2), mount_setattr(2), capabilities(7).
"""

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# unshare
_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_APART = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
# mount
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
# mount_setattr, whose number is the same on all processors, and prctl
_SETATTR, _RECURSIVE, _CWD = 442, 0x8000, -100
_PDEATHSIG, _DUMPABLE, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 4, 24, 38
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_NOBODY = 65534
# Of the system: programs, libraries, and what libraries look up. No secret is among these.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store", "/sys")
_LOOKED_UP = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "nsswitch.conf", "alternatives")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_CARDS = ("nvidia", "dri", "kfd")


class WallError(Exception):
    """The system does not let this process have namespaces of its own; the message says what failed."""


def enclose(scratch: Path, readable: Sequence[Path], temporary: int) -> None:
    """Take away the network, the other processes and the file system from this process. It must have one thread.

    What is left of the file system is the system's libraries and ``readable``, both read-only, and the folders "home" and "tmp"
    of ``scratch``, which are empty and hold at most ``temporary`` bytes each. The call returns in a child of this process, which
    has no capabilities, and is nobody where this process is root. This process waits for it, and ends as it does.

    Raises:
        WallError: The system has no such namespaces, or does not allow them.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # Whoever started this process may be killed.
    libc.prctl(_PDEATHSIG, signal.SIGKILL)
    root = scratch / "root"
    identity = os.getuid(), os.getgid()
    nobody = os.geteuid() == 0 and libc.unshare(_APART) == 0
    if not nobody:
        _call(libc.unshare(_NEWUSER | _APART), "unshare")
        _map(*identity)
    _mount(libc, "none", "/", None, _REC | _PRIVATE)
    _mount(libc, "tmpfs", str(root), "tmpfs", _NOSUID | _NODEV, "size=16m,mode=755")
    for place in [*map(Path, _SYSTEM), *(Path("/etc") / name for name in _LOOKED_UP), *readable]:
        _show(libc, root, place)
    _devices(libc, root)
    for place in (scratch / "home", scratch / "tmp", Path("/tmp"), Path("/dev/shm")):  # noqa: S108
        _empty(libc, root, place, temporary)
    (root / "proc").mkdir(exist_ok=True)
    _follow_child()
    # Only the first process of the new namespace may have its own view of processes.
    try:
        _mount(libc, "proc", str(root / "proc"), "proc", _NOSUID | _NODEV | _NOEXEC)
    except WallError:
        _mount(libc, "/proc", str(root / "proc"), None, _BIND | _REC)
    _enter(libc, root)
    os.chdir(scratch / "tmp")
    if nobody:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    _renounce(libc)


def _map(user: int, group: int) -> None:
    for name, content in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        try:
            Path("/proc/self", name).write_text(content, encoding="ascii")
        except OSError as error:
            raise WallError(f"it does not let a user be mapped ({error.strerror})") from error


def _show(libc: ctypes.CDLL, root: Path, place: Path) -> None:
    """Let a file or folder be seen at its own place below ``root``, read-only. Links are copied as links."""
    if not place.exists():
        return
    inside = root / place.relative_to("/")
    if inside.is_symlink() or _is_shown(inside, place):
        return
    inside.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        inside.symlink_to(place.readlink())
        _show(libc, root, Path(os.path.normpath(place.parent / place.readlink())))
        return
    if place.is_dir():
        inside.mkdir(exist_ok=True)
    else:
        inside.touch()
    _mount(libc, str(place), str(inside), None, _BIND | _REC)
    _lock(libc, inside)


def _is_shown(inside: Path, place: Path) -> bool:
    """Whether a place can be seen already, through a folder above it."""
    with suppress(OSError):
        return inside.samefile(place)
    return False


def _lock(libc: ctypes.CDLL, place: Path) -> None:
    """Make a mount and those below it read-only."""

    class Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]

    wanted = Attributes(_RDONLY | _NOSUID, 0, 0, 0)
    arguments = (ctypes.c_long(_SETATTR), ctypes.c_int(_CWD), os.fsencode(place), ctypes.c_uint(_RECURSIVE))
    if libc.syscall(*arguments, ctypes.byref(wanted), ctypes.c_size_t(ctypes.sizeof(wanted))) == 0:
        return
    # Linux before 5.12. A mount keeps the flags that it has, or the system refuses.
    flags = os.statvfs(place).f_flag & (os.ST_NODEV | os.ST_NOEXEC)
    _mount(libc, "none", str(place), None, _REMOUNT | _BIND | _RDONLY | _NOSUID | flags)


def _devices(libc: ctypes.CDLL, root: Path) -> None:
    (root / "dev").mkdir()
    cards = [path.name for path in Path("/dev").iterdir() if path.name.startswith(_CARDS)]
    for name in (*_DEVICES, *cards):
        place, inside = Path("/dev") / name, root / "dev" / name
        if not place.exists():
            continue
        if place.is_dir():
            inside.mkdir()
        else:
            inside.touch()
        _mount(libc, str(place), str(inside), None, _BIND | _REC)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd/{number}")


def _empty(libc: ctypes.CDLL, root: Path, place: Path, size: int) -> None:
    """Put an empty folder in memory at a place below ``root``, unless it is there."""
    inside = root / place.relative_to("/")
    if inside.is_mount():
        return
    inside.mkdir(parents=True, exist_ok=True)
    # Somebody else's folder of temporary files is empty, and this process's own one is full.
    if not any(inside.iterdir()):
        _mount(libc, "tmpfs", str(inside), "tmpfs", _NOSUID | _NODEV, f"size={size},mode=1777")


def _follow_child() -> None:
    """Go on in a child. This process waits for it and ends as it did."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        return
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(128 - code if code < 0 else code)


def _enter(libc: ctypes.CDLL, root: Path) -> None:
    """Make ``root`` the root of the file system, and let go of the old one."""
    old = root / ".old"
    old.mkdir()
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise WallError(f"clirbench does not know {platform.machine()}")
    _call(libc.syscall(ctypes.c_long(number), os.fsencode(root), os.fsencode(old)), "pivot_root")
    os.chdir("/")
    _call(libc.umount2(b"/.old", _DETACH), "umount2")
    Path("/.old").rmdir()
    _mount(libc, "none", "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _renounce(libc: ctypes.CDLL) -> None:
    """Give up all capabilities for good."""
    _call(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    # A process that has changed its user forgets these two.
    libc.prctl(_DUMPABLE, 1)
    libc.prctl(_PDEATHSIG, signal.SIGKILL)
    for capability in range(64):
        libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _call(libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())), "capset")


def _mount(libc: ctypes.CDLL, source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    result = libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind and kind.encode(),
        ctypes.c_ulong(flags),
        data and data.encode(),
    )
    _call(result, f"mount {target}")


def _call(result: int, what: str) -> None:
    if result != 0:
        raise WallError(
            f"it does not let a process have namespaces of its own ({what}: {os.strerror(ctypes.get_errno())})"
        )
