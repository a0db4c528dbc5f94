#!/usr/bin/env python3
"""Compares the memory tier with Caffeine: time of a hit, and hit ratios. One command does everything.

usage: memory.py [hits|ratio|all] [--rounds N]
Needs python3, swift, a JDK, and caffeine.jar and guava.jar in /usr/share/java (Debian: libcaffeine-java).
"""

import argparse
import array
import pathlib
import random
import statistics
import subprocess
import sys

import traces

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE / ".build" / "memory"
JARS = [pathlib.Path("/usr/share/java") / name for name in ("caffeine.jar", "guava.jar")]
JAVA = ["java", "-cp", ":".join(map(str, [*JARS, WORK]))]


def output(*command, **options):
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def build():
    missing = [jar for jar in JARS if not jar.exists()]
    if missing:
        sys.exit(f"memory.py: {missing[0]} is missing; install it with: apt-get install libcaffeine-java")
    WORK.mkdir(parents=True, exist_ok=True)
    print("building …", file=sys.stderr)
    output("javac", "-cp", ":".join(map(str, JARS)), "-d", WORK, *sorted((HERE / "java").glob("*.java")))
    for product in ("memory-hits", "hit-ratio"):
        subprocess.run(["swift", "build", "-c", "release", "--product", product], cwd=HERE, check=True, stdout=sys.stderr)
    return pathlib.Path(output("swift", "build", "-c", "release", "--show-bin-path", cwd=HERE).strip())


def write_keys():
    """100,000 keys, four of five of them addresses and the rest short, and 2 million requests, Zipf 0.99."""
    keys, sequence = WORK / "keys.txt", WORK / "sequence.bin"
    generator = random.Random(20240607)
    with keys.open("w") as file:
        for number in generator.sample(range(100_000, 1_000_000), 100_000):
            file.write(f"user:{number}\n" if number % 5 == 0 else f"https://api.example.com/users/{number}\n")
    sequence.write_bytes(array.array("i", traces.take(2_000_000, traces.zipf(generator, 100_000, 0.99))).tobytes())
    return keys, sequence


def hits(programs, rounds):
    keys, sequence = write_keys()
    print("\nA hit: ns per hit and thread, 100,000 string keys, Zipf 0.99")
    print(f"medians of {rounds} rounds, in each of which both run one after the other\n")
    print(f"{'':26}{'Perennial, read':^28}{'':10}{'ratio to Caffeine':^24}   allocations in")
    print(f"{'threads':8}{'keys asked with':18}{'in place':>14}{'handed out':>14}{'Caffeine':>10}{'in place':>12}{'handed out':>12}   4,000,000 hits")
    for mode, words in (("own", "one per request"), ("copies", "copies"), ("same", "those put in")):
        for threads in (1, 2):
            columns = []
            for _ in range(rounds):
                *ours, allocations = output(programs / "memory-hits", keys, sequence, threads, mode).split()
                in_place, handed_out = map(float, ours)
                theirs = float(output(*JAVA, "HitLoop", keys, sequence, threads, mode))
                columns.append((in_place, handed_out, theirs, in_place / theirs, handed_out / theirs))
            one, two, theirs, first, second = map(statistics.median, zip(*columns))
            print(f"{threads:<8}{words:18}{one:14.1f}{two:14.1f}{theirs:10.1f}{first:12.2f}{second:12.2f}   {allocations}", flush=True)


def ratio(programs):
    print("\nHit ratios in percent, both on the same trace\n")
    print(f"{'trace':16}{'capacity':>9}{'Perennial':>11}{'Caffeine':>10}{'difference':>12}")
    differences = []
    for name, capacity, make in traces.TRACES:
        trace = WORK / f"{name}.trace"
        with trace.open("w") as file:
            traces.write(make, file)
        found = []
        for command in ([programs / "hit-ratio", "--capacity", capacity], [*JAVA, "HitRatio", capacity]):
            with trace.open() as file:
                found.append(100 * float(output(*command, stdin=file).split()[-1]))
        trace.unlink()
        differences.append(found[0] - found[1])
        print(f"{name:16}{capacity:9,}{found[0]:11.2f}{found[1]:10.2f}{differences[-1]:+12.2f}", flush=True)
    print(f"{'average':46}{statistics.mean(differences):+12.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["hits", "ratio", "all"], default="all")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the measurement of hits (default: 5)")
    options = parser.parse_args()
    programs = build()
    if options.what != "ratio":
        hits(programs, options.rounds)
    if options.what != "hits":
        ratio(programs)


if __name__ == "__main__":
    main()
