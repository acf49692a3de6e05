#!/usr/bin/env python3
"""The kernels of a pass by their share of its time, from what ncu writes with --csv --page raw:
profile_table.py NAME < CSV. Kernels of one name and grid are one line: time of all, share, how often, time
of each, use of the SMs and of the memory's bandwidth, blocks."""
import collections
import csv
import re
import sys

TIME = "gpu__time_duration.sum"
SM = "sm__throughput.avg.pct_of_peak_sustained_elapsed"
DRAM = "dram__throughput.avg.pct_of_peak_sustained_elapsed"
MICROSECONDS = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3, "msecond": 1e3, "s": 1e6,
                "second": 1e6}


def rows_of(lines):
    """Dictionaries of the rows; the first one after the names holds units."""
    table = csv.DictReader(line for line in lines if line.startswith('"'))
    return list(table)


def number(text):
    return float(text.replace(",", "") or 0)


def name_of(kernel):
    kernel = re.sub(r"\(anonymous namespace\)::|<unnamed>::|fvlm::device::|fvlm::", "", kernel)
    return kernel.removeprefix("void ")[:100]


def blocks_of(grid):
    blocks = 1
    for size in re.findall(r"\d+", grid):
        blocks *= int(size)
    return blocks


def main():
    rows = rows_of(sys.stdin)
    if len(rows) < 2 or TIME not in rows[0]:
        sys.exit(f"profile_table.py: no kernels in what ncu wrote for {sys.argv[1]}")
    scale = MICROSECONDS[rows[0][TIME]]
    groups = collections.defaultdict(list)
    for row in rows[1:]:
        groups[name_of(row["Kernel Name"]), blocks_of(row["Grid Size"])].append(row)
    times = {key: sum(scale * number(row[TIME]) for row in group) for key, group in groups.items()}
    total = sum(times.values())
    print(f"{sys.argv[1]}: {len(rows) - 1} kernels, {total:.1f} us one by one")
    for key in sorted(groups, key=times.get, reverse=True):
        group, (name, blocks) = groups[key], key
        use = [sum(number(row.get(metric, "0")) for row in group) / len(group) for metric in (SM, DRAM)]
        print(f"{times[key]:9.1f} us {100 * times[key] / total:5.1f}% x{len(group):3d} each "
              f"{times[key] / len(group):7.1f}  sm {use[0]:4.0f}% dram {use[1]:4.0f}% grid {blocks:6d} {name}")


main()
