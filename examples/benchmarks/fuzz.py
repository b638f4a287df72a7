"""How many broken inputs alcli's readers stand: `python examples/benchmarks/fuzz.py --examples 100000 --seed 7`.

Every place where alcli reads something is given documents with something wrong in them, and any bytes. Each input must
be read, or refused by an AlcliError, within five seconds of the processor and a gigabyte.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.counts import SUBJECTS, shares
from tests.fuzz.subject import run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--examples", type=int, default=100_000, help="inputs over all subjects together")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--subjects", nargs="+", choices=[row.name for row in SUBJECTS], help="only these, as many each")
given = parser.parse_args()

started, examples, faults = time.monotonic(), 0, 0
print(f"{'subject':26} {'inputs':>9} {'refused':>9} {'faults':>7} {'slowest s':>10} {'seconds':>8}")
with tempfile.TemporaryDirectory() as scratch:
    chosen = [row for row in SUBJECTS if row.name in (given.subjects or shares(given.examples))]
    for subject in chosen:
        row = run(subject, shares(given.examples)[subject.name], given.seed, Path(scratch))
        examples, faults = examples + row.examples, faults + row.faults
        print(
            f"{row.name:26} {row.examples:9} {row.refused:9} {row.faults:7} {row.slowest:10.3f} {row.seconds:8.1f}",
            flush=True,
        )
        for shown in row.shown:
            print(f"    {shown}", flush=True)
print(f"{len(chosen)} subjects, {examples} inputs, {faults} faults, {time.monotonic() - started:.0f} s on the clock")
sys.exit(bool(faults))
