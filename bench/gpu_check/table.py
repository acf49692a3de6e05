#!/usr/bin/env python3
"""Tables of what the parts of tools/gpu_check.sh have written into a folder: *.json of gpu_bench,
torch_peer.py and gpu_kernels, lines of JSON, and serve-N.txt of load.py: table.py FOLDER. Times of models are
milliseconds; in brackets the fraction of the device's limit."""
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


def models_table(rows):
    yield "| model | " + " | ".join(name for name, *_ in COLUMNS) + " |"
    yield "|-|" + "-|" * len(COLUMNS)
    for row in rows:
        name = f"{row['model']} {row['format']}"
        if "error" in row:
            yield f"| {name} | {row['error']} |"
        else:
            yield f"| {name} | " + " | ".join(cell(row, *column[1:]) for column in COLUMNS) + " |"


def products_table(rows):
    yield "| pass | product | m x n x k | weights | us | of the roofline | cuBLASLt, us | ratio | kernels |"
    yield "|-|-|-|-|-|-|-|-|-|"
    for row in rows:
        share = "" if row["fraction"] is None else f"{100 * row['fraction']:.0f} %"
        library = row["cublaslt_us"]
        beside = f"{library:.1f} | {row['of_cublaslt']:.2f}" if library is not None else " | "
        yield (f"| {row['pass']} | {row['name']}, {row['count']} | {row['m']} x {row['n']} x {row['k']} | "
               f"{row['format']} | {row['us']:.1f} | {share} | {beside} | {row['variant']} |")


def cameras_table(files):
    yield "| cameras at 1 fps | described | latency, ms |"
    yield "|-|-|-|"
    for path in sorted(files, key=lambda path: int(path.stem.split("-")[1])):
        lines = dict(line.split(maxsplit=1) for line in path.read_text().splitlines() if "  " in line)
        latency = lines.get("latency,", "").removeprefix("ms").strip()
        yield f"| {path.stem.split('-')[1]} | {lines.get('described', '0')} of {lines.get('frames', '?')} | {latency} |"


def main():
    folder = Path(sys.argv[1])
    rows = [json.loads(line) for path in sorted(folder.glob("*.json"))
            for line in path.read_text().splitlines() if line.startswith("{")]
    devices = {row["device"]: row for row in rows if "device" in row}
    for name, row in devices.items():
        print(f"{name}: {row['bf16_flops'] / 1e12:.0f} TFLOP/s bf16, {row['bandwidth'] / 1e12:.2f} TB/s")
    tables = [(models_table, [row for row in rows if "model" in row]),
              (cameras_table, list(folder.glob("serve-*.txt"))),
              (products_table, [row for row in rows if "pass" in row])]
    for table, content in tables:
        if content:
            print("\n" + "\n".join(table(content)))


main()
