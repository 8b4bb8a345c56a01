# SPDX-License-Identifier: GPL-2.0-only
"""The cache of decoded items."""
import glob
import multiprocessing
import os
import sys
import unittest

from lib import PACKAGE, Case

sys.path.insert(0, PACKAGE)
import torch  # noqa: E402
from waveos import _cache  # noqa: E402


class Counted:
    """Items of different sizes; each decoding leaves a line in a file, whichever process does it."""

    waveos_cacheable = True

    def __init__(self, log, items=64):
        self.log, self.items = log, items

    def __len__(self):
        return self.items

    def __getitem__(self, index):
        with open(self.log, "a", encoding="ascii") as file:
            file.write("%d\n" % index)
        return torch.full((index * 37 + 1,), float(index)), {"index": index}


def read_all(cached, order, queue):
    try:
        queue.put(all(float(cached[i][0].sum()) == i * (i * 37 + 1) and cached[i][1]["index"] == i for i in order))
    except BaseException as error:
        queue.put(repr(error))


class Cache(Case):
    def decoded(self):
        with open(self.path("log"), encoding="ascii") as file:
            return len(file.readlines())

    def test_second_pass_decodes_nothing(self):
        for where in ("ram", "ssd"):
            open(self.path("log"), "w").close()
            cached = _cache.Cached(Counted(self.path("log")), where, self.tmp)
            for _ in range(3):
                for i in range(64):
                    self.assertEqual(cached[i][1]["index"], i)
            self.assertEqual(self.decoded(), 64, where)

    def test_item_that_was_changed_by_its_reader_stays_as_it_was(self):
        cached = _cache.Cached(Counted(self.path("log")), "ram")
        cached[3]
        cached[3][0].zero_()
        self.assertEqual(float(cached[3][0][0]), 3)

    def test_concurrent_processes_read_what_is_right(self):
        for method, where in (("fork", "ram"), ("fork", "ssd"), ("spawn", "ram")):
            context = multiprocessing.get_context(method)
            open(self.path("log"), "w").close()
            cached = _cache.Cached(Counted(self.path("log")), where, self.tmp)
            cached[0]  # descriptors of the parent must not be shared
            queue = context.Queue()
            orders = [list(range(64)) * 6, list(range(63, -1, -1)) * 6, [i * 7 % 64 for i in range(64)] * 6]
            workers = [context.Process(target=read_all, args=(cached, o, queue)) for o in orders]
            for worker in workers:
                worker.start()
            self.assertEqual([queue.get(timeout=60) for _ in workers], [True] * 3)
            for worker in workers:
                worker.join(60)
            before = self.decoded()
            for i in range(64):
                cached[i]
            self.assertEqual(self.decoded(), before, "what other processes wrote is found")

    def test_forked_process_moves_no_position_of_its_parent(self):
        cached = _cache.Cached(Counted(self.path("log")), "ram")
        cached[0]
        before = os.lseek(cached.items, 0, os.SEEK_CUR)
        pid = os.fork()
        if pid == 0:
            cached[5]
            os._exit(0)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertEqual(os.lseek(cached.items, 0, os.SEEK_CUR), before)
        self.assertEqual((cached[5][1]["index"], self.decoded()), (5, 2))

    def test_corrupted_item_is_decoded_again(self):
        cached = _cache.Cached(Counted(self.path("log")), "ssd", self.tmp)
        for i in range(64):
            cached[i]
        with open(cached.paths[0], "r+b") as file, open(cached.paths[1], "rb") as places:
            for _ in range(64):  # one bit in the middle of each: pickle alone would not notice most of them
                offset, length, _ = _cache._PLACE.unpack(places.read(_cache._PLACE.size))
                file.seek(offset - 1 + length // 2)
                byte = file.read(1)[0]
                file.seek(-1, 1)
                file.write(bytes([byte ^ 1]))
        for i in range(64):
            self.assertEqual(cached[i][1]["index"], i)
        self.assertEqual(self.decoded(), 128)

    def test_places_that_are_torn_or_exchanged_are_misses(self):
        cached = _cache.Cached(Counted(self.path("log")), "ssd", self.tmp)
        for i in range(64):
            cached[i]
        with open(cached.paths[1], "r+b") as file:
            data = file.read()
            file.seek(0)
            file.write(b"\x01" * 5 + data[5:16] + data[32:48] + data[16:32])  # torn, and two exchanged
        for i in (0, 1, 2, 3):
            self.assertEqual(cached[i][1]["index"], i)

    def test_size_is_bounded(self):
        os.environ["WAVEOS_TUNE_CACHE_MB"] = "1"
        self.addCleanup(os.environ.pop, "WAVEOS_TUNE_CACHE_MB")
        cached = _cache.Cached([os.urandom(100000) for _ in range(64)], "ram")
        for i in range(64):
            self.assertEqual(cached[i], cached.dataset[i])
        self.assertTrue(cached.full)
        self.assertLessEqual(os.fstat(cached.items).st_size, 1 << 20)

    def test_dataset_that_says_nothing_is_refused(self):
        self.assertIn("waveos_cacheable", _cache.refusal([1]))
        os.environ["WAVEOS_TUNE_CACHE_ALLOWED"] = "1"
        self.addCleanup(os.environ.pop, "WAVEOS_TUNE_CACHE_ALLOWED")
        self.assertIsNone(_cache.refusal([1]))

    def test_subset_of_a_cacheable_dataset_is_cacheable(self):
        self.assertIsNone(_cache.refusal(torch.utils.data.Subset(Counted(self.path("log")), [1, 2])))

    def test_items_that_cannot_be_pickled_are_handed_on(self):
        cached = _cache.Cached([lambda: 5], "ram")
        self.assertEqual([cached[0]() for _ in range(2)], [5, 5])

    def test_folder_is_gone_after_the_program(self):
        self.mlp("--steps", "5", knobs={"loader.cache": "ssd", "loader.cache_dir": self.tmp})
        self.assertEqual(glob.glob(self.path("waveos-cache-*")), [])


if __name__ == "__main__":
    sys.exit(unittest.main())
