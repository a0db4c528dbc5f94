"""Writes request traces, one key a line, to compare hit ratios on. `traces.py NAME` prints one; without NAME, the names.

Each trace has a fixed seed and a capacity (entries) to run it with, so that two runs ask for the same keys.
"""

import bisect
import itertools
import random
import sys


def zipf(random, keys, skew):
    """Endless ranks 0..<keys; rank r is asked for in proportion to 1 / (r + 1) ** skew."""
    sums = list(itertools.accumulate(1 / (rank + 1) ** skew for rank in range(keys)))
    while True:
        yield bisect.bisect_left(sums, random.random() * sums[-1])


def take(count, keys):
    return itertools.islice(keys, count)


def plain_zipf(random):
    """Zipf 0.99 over 100,000 keys"""
    return take(1_000_000, zipf(random, 100_000, 0.99))


def loop(random):
    """a loop of 15,000 keys, half as many again as fit"""
    return take(600_000, itertools.cycle(range(15_000)))


def zipf_and_scan(random):
    """Zipf 0.99 with a scan of 30,000 keys, asked for once, after every 30,000 requests"""
    ranks = zipf(random, 100_000, 0.99)
    fresh = itertools.count(1_000_000)
    for _ in range(16):
        yield from take(30_000, ranks)
        yield from take(30_000, fresh)


def zipf_amid_singles(random):
    """Zipf 0.99 with every second request for a key never seen again"""
    ranks = zipf(random, 100_000, 0.99)
    fresh = itertools.count(1_000_000)
    for _ in range(500_000):
        yield next(ranks)
        yield next(fresh)


def shifting_zipf(random):
    """Zipf 0.99 whose ranks move by 1,000 keys every 50,000 requests"""
    for number, rank in enumerate(take(1_000_000, zipf(random, 100_000, 0.99))):
        yield rank + number // 50_000 * 1_000


def hot_set_change(random):
    """Zipf 0.99 in which every key is replaced by another every 250,000 requests"""
    for number, rank in enumerate(take(1_000_000, zipf(random, 100_000, 0.99))):
        yield rank + number // 250_000 * 1_000_000


def recency(random):
    """each key asked for five times within some 12,000 requests, then never again"""
    return bursts(random, 1_000_000, 5, 3_000)


def short_recency(random):
    """each key asked for three times within some 900 requests, then never again, as paging through a feed"""
    return bursts(random, 600_000, 3, 300)


def bursts(random, count, times, gap):
    due = {}
    fresh = itertools.count()
    for now in range(count):
        keys = due.pop(now, None)
        key, left = keys.pop() if keys else (next(fresh), times)
        if keys:
            due.setdefault(now + 1, []).extend(keys)
        if left > 1:
            due.setdefault(now + 1 + int(random.expovariate(1 / gap)), []).append((key, left - 1))
        yield key


def recency_then_zipf(random):
    """by turns 200,000 requests of bursts as in `recency` and 200,000 of Zipf 0.99"""
    recent = recency(random)
    ranks = zipf(random, 100_000, 0.99)
    for _ in range(3):
        yield from (key + 1_000_000 for key in take(200_000, recent))
        yield from take(200_000, ranks)


def working_sets(random):
    """an evenly used set of 3,000 keys that slides on by one key every 10 requests, over a Zipf 0.9 background"""
    ranks = zipf(random, 100_000, 0.9)
    for number in range(800_000):
        if random.random() < 0.7:
            yield 1_000_000 + number // 10 + random.randrange(3_000)
        else:
            yield next(ranks)


def even(random):
    """evenly random over 50,000 keys"""
    return (random.randrange(50_000) for _ in range(500_000))


TRACES = [
    ("zipf", 10_000, plain_zipf),
    ("zipf-small", 1_000, plain_zipf),
    ("loop", 10_000, loop),
    ("scan", 10_000, zipf_and_scan),
    ("scan-small", 1_000, zipf_and_scan),
    ("singles", 10_000, zipf_amid_singles),
    ("shifting", 5_000, shifting_zipf),
    ("hot-set-change", 5_000, hot_set_change),
    ("recency", 10_000, recency),
    ("recency-short", 1_000, short_recency),
    ("recency-zipf", 10_000, recency_then_zipf),
    ("working-sets", 5_000, working_sets),
    ("even", 10_000, even),
]


def write(make, file):
    file.writelines(f"https://api.example.com/users/{key}\n" for key in make(random.Random(20240607)))


def main():
    if len(sys.argv) < 2:
        for name, capacity, make in TRACES:
            print(name, capacity, make.__doc__, sep="\t")
        return
    make = {name: make for name, _, make in TRACES}[sys.argv[1]]
    write(make, sys.stdout)


if __name__ == "__main__":
    main()
