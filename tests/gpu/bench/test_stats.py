import random
import unittest

import stats


class Stats(unittest.TestCase):
    def test_paired_finds_a_planted_ratio(self):
        rng = random.Random(5)
        base = [100 * rng.lognormvariate(0, 0.02) for _ in range(40)]
        r = stats.paired(base, [b * 1.1 * rng.lognormvariate(0, 0.01) for b in base])
        self.assertTrue(r["low"] < 1.1 < r["high"], r)
        self.assertLess(r["high"] - r["low"], 0.02)

    def test_arms_drift_falls_out(self):
        # every block is 1 % slower than the one before, and arm 1 is 5 % slower
        steps, t = [], 0
        for block, arm in enumerate([0, 1, 1, 0] * 6):
            for _ in range(6):
                span = 1000000 * 1.01 ** block * (1.05 if arm else 1)
                steps.append({"begin_ns": t, "end_ns": t + span, "arm": arm, "block": block})
                t += span
        r = stats.arms(steps, 0, 1)
        self.assertAlmostEqual(r["ratio"], 1.05, delta=0.011)

    def test_unions_agree_with_counting(self):
        rng = random.Random(7)
        for _ in range(200):
            a = [(x, x + rng.randrange(9)) for x in (rng.randrange(60) for _ in range(6))]
            b = [(x, x + rng.randrange(9)) for x in (rng.randrange(60) for _ in range(6))]
            ca = {t for x, y in a for t in range(x, y)}
            cb = {t for x, y in b for t in range(x, y)}
            self.assertEqual(stats.length(a), len(ca))
            self.assertEqual(stats.common(a, b), len(ca & cb))


unittest.main()
