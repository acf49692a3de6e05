#!/usr/bin/env python3
"""What the compiler made of the CUDA kernels, without a device: kernel_report.py [--budget] ARCHITECTURE SOURCE...

For each kernel: registers, bytes spilled, threads of a block and blocks an SM by registers; and, where cuobjdump is
there, instructions a product (mma, or FFMA in kernels without tensor cores) in the loop that has most of them. With --budget, only
kernels that have a budget below, and exit status 1 if one exceeds it. Shared memory is dynamic: the launch knows it.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REGISTERS = 65536  # of an SM, of every architecture that kernels are compiled for

# Kernel (a regular expression), blocks an SM at least, instructions a product at most (on the architectures that were
# looked at). None of them spills.
COUNTED = ("80", "90a")
BUDGETS = [
    (r"tile_product<TileShape<128, 128, 32.*RowOperand<BFloat16, false>, RowOperand<BFloat16, false>", 2, 2.8),
    (r"tile_product<TileShape<128, 64, 32.*RowOperand<BFloat16, false>, RowOperand<BFloat16, false>", 2, 3.8),
    (r"tile_product<TileShape<128, 128, 64.*TokenWeights<\(WeightFormat::Type\)2>", 2, 3.6),
    (r"tile_product<TileShape<128, 128, 64.*QuantisedTokenWeights", 2, 8.5),
    (r"tile_parts<TileShape<128, 128, 64.*(RowOperand<BFloat16, false>, RowOperand|, TokenWeights)", 1, 4),
    (r"tile_parts<TileShape<64, 64, 64.*(RowOperand<BFloat16, false>, RowOperand|, TokenWeights)", 3, 4.6),
    (r"tile_parts<TileShape<128, 128, 64.*QuantisedTokenWeights", 1, 10.5),
    (r"tile_parts<TileShape<64, 64, 64.*QuantisedTokenWeights", 3, 19),
    (r"skinny_gemm<\(WeightFormat::Type\)2, 0, 8, [14], ", 2, 20),
    (r"skinny_gemm<\(WeightFormat::Type\)3, 64, 8, [12], ", 2, 27),
    (r"skinny_gemm<\(WeightFormat::Type\)4, 64, 8, [12], ", 2, 22),
    (r"skinny_gemm<\(WeightFormat::Type\)2, 0, (32|64), 1, ", 2, 24),
    (r"skinny_gemm<\(WeightFormat::Type\)[34], (64|128), 32, 1, ", 2, 25),
    (r"skinny_gemm<\(WeightFormat::Type\)[34], (64|128), 64, 1, ", 1, 26),
    (r"decode_attention<(64|128)>", 2, None),
    (r"flash_attention<BFloat16, 32>", 4, 14.5),
    (r"prefill_attention<64>", 3, 9.5),
    (r"depthwise<BFloat16, 7, 1, 1, ", 6, 1.35),
    (r"depthwise<BFloat16, 3, 1, 1, ", 6, 1.55),
    (r"stem_tile\(", 3, 20),
    (r"quantised_product<QuantisedTile<\(WeightFormat::Type\)3, 128, (64|128)>", 1, 31.5),
    (r"quantised_product<QuantisedTile<\(WeightFormat::Type\)4, 128, (64|128)>", 1, 24),
    (r"quantised_product<QuantisedTile<\(WeightFormat::Type\)[34], 64, 64>", 1, 41.5),
    (r"hopper_product<HopperTile<(128, (128|96), 4, false|256, 128, 3, true)>", 1, 9),
    (r"hopper_product<HopperTile<64, 64, 8, false>", 1, 13.5),
    (r"hopper_parts<", 1, 13),
]


def demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    short = [re.sub(r"fvlm::(device::|\(anonymous namespace\)::)*|\(anonymous namespace\)::", "", line) for line in text.splitlines()]
    return dict(zip(names, (re.sub(r"^void ", "", re.sub(r">\(.*", ">", line)) for line in short)))


def compiled(source, architecture, folder):
    """The kernels of a source: {mangled name: {registers, spilled, threads}}, and its cubin."""
    cubin = os.path.join(folder, "kernels.cubin")
    run = subprocess.run(
        ["nvcc", "-std=c++20", "--expt-relaxed-constexpr", "-O3", "-Xptxas", "-v", "-cubin", "-o", cubin,
         "-gencode", f"arch=compute_{architecture},code=sm_{architecture}",
         "-I" + TOP, "-I" + os.path.join(TOP, "include"), "-x", "cu", source],
        capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"kernel_report.py: {source}: nvcc failed: {run.stderr.strip().splitlines()[-1]}")
    entry = re.compile(r"Compiling entry function '(\S+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers", re.S)
    return {name: {"registers": int(registers), "spilled": int(spilled)}
            for name, spilled, registers in entry.findall(run.stderr)}, cubin


def loops(cubin):
    """Instructions a product of each kernel's hottest loop: {mangled name: number}."""
    if shutil.which("cuobjdump") is None:
        return {}
    text = subprocess.run(["cuobjdump", "-sass", cubin], capture_output=True, text=True, check=True).stdout
    found = {}
    for part in re.split(r"\n\s*Function : ", text)[1:]:
        code = [(int(at, 16), what.strip()) for at, what in re.findall(r"/\*([0-9a-f]{4,})\*/\s+([^;/]+);", part)]
        product = re.compile("HMMA|HGMMA" if re.search("HMMA|HGMMA", part) else "FFMA")
        best = (0, 0)  # products, instructions
        for at, what in code:
            target = re.search(r"\bBRA\b.*?(0x[0-9a-f]+)", what)
            if target and int(target[1], 16) < at:
                body = [w for a, w in code if int(target[1], 16) <= a <= at]
                count = sum(bool(product.search(w)) for w in body)
                # The inner one of nested loops, unless the outer one repeats it.
                if count > 1.5 * best[0] or (count >= best[0] > 0 and len(body) < best[1]):
                    best = (count, len(body))
        if best[0] > 0:
            found[part.split("\n")[0].strip()] = best[1] / best[0]
    return found


def threads_of(cubin):
    """The most threads of a block, by __launch_bounds__: {mangled name: number}."""
    if shutil.which("cuobjdump") is None:
        return {}
    text = subprocess.run(["cuobjdump", "-elf", cubin], capture_output=True, text=True, check=True).stdout
    parts = re.split(r"\n\.nv\.info\.(\S+)", text)
    return {name: int(found[1], 16) for name, body in zip(parts[1::2], parts[2::2])
            if (found := re.search(r"EIATTR_MAX_THREADS.*?Value:\s*(0x[0-9a-f]+)", body.split("\n.")[0], re.S))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", action="store_true")
    parser.add_argument("architecture", help="80, 90a, 120 ...")
    parser.add_argument("source", nargs="+")
    arguments = parser.parse_args()
    if shutil.which("nvcc") is None:
        sys.exit("kernel_report.py: nvcc is not on the PATH")
    met = set()
    failed = False
    print(f"{'registers':>9} {'spilled':>7} {'threads':>7} {'blocks/SM':>9} {'/product':>8}  kernel, for sm_{arguments.architecture}")
    for source in arguments.source:
        with tempfile.TemporaryDirectory() as folder:
            kernels, cubin = compiled(source, arguments.architecture, folder)
            names, per_product, threads = demangled(list(kernels)), loops(cubin), threads_of(cubin)
        for mangled, kernel in sorted(kernels.items(), key=lambda item: names[item[0]]):
            name = names[mangled]
            budget = next((b for b in BUDGETS if re.search(b[0], name)), None)
            if arguments.budget and budget is None:
                continue
            block = threads.get(mangled)
            rounded = (kernel["registers"] + 7) // 8 * 8  # as they are allocated
            blocks = REGISTERS // (rounded * block) if block else None
            each = per_product.get(mangled)
            problems = []
            if budget is not None:
                met.add(budget[0])
                if kernel["spilled"] > 0:
                    problems.append("spills")
                if blocks is not None and blocks < budget[1]:
                    problems.append(f"fewer than {budget[1]} blocks an SM")
                counted = arguments.architecture in COUNTED and each is not None and budget[2] is not None
                if counted and each > budget[2]:
                    problems.append(f"more than {budget[2]} instructions a product")
            failed |= bool(problems)
            print(f"{kernel['registers']:>9} {kernel['spilled']:>7} {block or '':>7} {blocks or '':>9} "
                  f"{f'{each:.2f}' if each else '':>8}  {name}{'  EXCEEDS ITS BUDGET: ' + ', '.join(problems) if problems else ''}")
    if arguments.budget and len(met) < len(BUDGETS):
        print("no kernel for the budget of " + ", ".join(b[0] for b in BUDGETS if b[0] not in met))
        failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
