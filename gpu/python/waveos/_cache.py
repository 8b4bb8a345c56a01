# SPDX-License-Identifier: GPL-2.0-only
"""A cache of decoded items by index, shared by all loader workers.

One file of data that is only appended to, one of places (offset, length, CRC-32); in memory (memfd) for "ram", in a
folder for "ssd". No locks: an append is whole or is not used, a place is written after what it points to, and what does
not match its CRC (which begins with the index) counts as missing. Items are pickled, so each reader gets an own copy. Bounded: when it is full,
further items are decoded as ever.
"""
import atexit
import os
import pickle
import shutil
import struct
import tempfile
import zlib

from . import _env

_PLACE = struct.Struct("<QII")  # offset + 1 (0: none), length, crc


def refusal(dataset):
    """Why a dataset must not be cached; None: it may."""
    inner = dataset
    for _ in range(8):
        if getattr(inner, "waveos_cacheable", None) is True:
            break
        if type(inner).__name__ != "Subset" or not hasattr(inner, "dataset"):
            if os.environ.get("WAVEOS_TUNE_CACHE_ALLOWED") != "1":
                return "the dataset does not say waveos_cacheable = True (random augmentations would be frozen)"
            break
        inner = inner.dataset
    try:
        len(dataset)
    except Exception:
        return "the dataset has no length"
    return None


def _limit(where, folder):
    mb = _env.integer("WAVEOS_TUNE_CACHE_MB")
    if mb is not None:
        return mb << 20
    if where == "ssd":
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize // 2
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as most, \
                open("/sys/fs/cgroup/memory.current", encoding="ascii") as used:
            free = min(free, int(most.read()) - int(used.read()))
    except (OSError, ValueError):
        pass
    return max(free // 4, 0)


def _remove(folder, owner):
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


class Cached:
    """Stands for the dataset in the loader's workers; all but items comes from the dataset itself."""

    def __init__(self, dataset, where, folder=None):
        self.dataset, self.length = dataset, len(dataset)
        self.pid = None
        self.full = False
        if where == "ram":
            fds = [os.memfd_create("waveos-cache"), os.memfd_create("waveos-places")]
            self.keep = fds  # as long as the process lives
            self.paths = ["/proc/%d/fd/%d" % (os.getpid(), fd) for fd in fds]
        elif where == "ssd":
            if folder:
                os.makedirs(folder, exist_ok=True)
            folder = tempfile.mkdtemp(prefix="waveos-cache-", dir=folder)
            atexit.register(_remove, folder, os.getpid())
            self.paths = [os.path.join(folder, name) for name in ("items", "places")]
            for path in self.paths:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        else:
            raise ValueError("off, ram and ssd are known, not %r" % (where,))
        self.limit = _limit(where, folder)

    def __getattr__(self, name):
        if name.startswith("__") or name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __getstate__(self):
        return dict(self.__dict__, pid=None, keep=None)

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __len__(self):
        return self.length

    def _open(self):
        """Each process has own descriptors: where an append went is read from their position."""
        if self.pid != os.getpid():
            self.items = os.open(self.paths[0], os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            self.places = os.open(self.paths[1], os.O_RDWR | os.O_CLOEXEC)
            self.pid = os.getpid()

    def _find(self, index):
        place = os.pread(self.places, _PLACE.size, index * _PLACE.size)
        if len(place) < _PLACE.size:
            return None
        offset, length, crc = _PLACE.unpack(place)
        if not offset:
            return None
        data = os.pread(self.items, length, offset - 1)
        return data if len(data) == length and zlib.crc32(data, index) == crc else None

    def _put(self, index, item):
        data = pickle.dumps(item, protocol=4)
        if os.fstat(self.items).st_size + len(data) > self.limit:
            self.full = True
            return
        if os.write(self.items, data) != len(data):
            self.full = True  # no room; what was written of it is not pointed to
            return
        offset = os.lseek(self.items, 0, os.SEEK_CUR) - len(data)
        os.pwrite(self.places, _PLACE.pack(offset + 1, len(data), zlib.crc32(data, index)), index * _PLACE.size)

    def __getitem__(self, key):
        try:
            index = key.__index__()
            index = index if 0 <= index < self.length else None
        except (AttributeError, TypeError, ValueError):
            index = None
        if index is None:
            return self.dataset[key]
        try:
            self._open()
            data = self._find(index)
            if data is not None:
                return pickle.loads(data)
        except Exception:
            _env.debug("cache")
        item = self.dataset[key]
        if not self.full:
            try:
                self._put(index, item)
            except Exception:
                self.full = True
                _env.debug("cache")
        return item
