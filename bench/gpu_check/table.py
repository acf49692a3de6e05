#!/usr/bin/env python3
"""A table of all *.json that gpu_bench and torch_peer.py have written into a folder, lines of JSON:
table.py FOLDER. Times are milliseconds; in brackets the fraction of the device's limit."""
import json
import sys
from pathlib import Path

COLUMNS = [("encoder, 1 image", "encoder_s", 1e3, "encoder_fraction"),
           ("encoder, 8 images", "encoder_8_images_s", 1e3, "encoder_8_fraction"),
           ("first token", "ttft_s", 1e3, None),
           ("tok/s, 1 sequence", "decode_1_tok_s", 1, "decode_1_fraction"),
           ("tok/s, 8", "decode_8_tok_s", 1, None),
           ("tok/s, 32", "decode_32_tok_s", 1, None)]


def cell(row, key, scale, fraction):
    if key not in row:
        return ""
    text = f"{row[key] * scale:.4g}"
    share = row.get(fraction)
    if fraction is None and key == "ttft_s" and "ttft_limit_s" in row:
        share = row["ttft_limit_s"] / row["ttft_s"]
    return text + (f" ({100 * share:.0f} %)" if share is not None else "")


rows = [json.loads(line) for path in sorted(Path(sys.argv[1]).glob("*.json"))
        for line in path.read_text().splitlines() if line.startswith("{")]
for row in rows:
    if "device" in row:
        print(f"{row['device']}: {row['bf16_flops'] / 1e12:.0f} TFLOP/s bf16, "
              f"{row['bandwidth'] / 1e12:.2f} TB/s")
print("| model | " + " | ".join(name for name, *_ in COLUMNS) + " |")
print("|-|" + "-|" * len(COLUMNS))
for row in rows:
    if "model" in row:
        name = f"{row['model']} {row['format']}"
        if "error" in row:
            print(f"| {name} | {row['error']} |")
        else:
            print(f"| {name} | " + " | ".join(cell(row, *column[1:]) for column in COLUMNS) + " |")
