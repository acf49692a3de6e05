#!/usr/bin/env python3
"""Makes the pictures that MANIFEST lists, their pixels and MANIFEST itself (see README.md).

    make_images.py [FOLDER]    # needs Pillow 13, pillow-heif 1 and NumPy

Encoders of another version may write other bytes; the pixels beside them are then theirs.
"""
import io
import pathlib
import struct
import sys
import zlib

import numpy as np
import pillow_heif
from PIL import Image, ImageDraw, ImageOps

SOURCE = pathlib.Path(__file__).resolve().parent
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE
pillow_heif.register_heif_opener()
manifest = []


def waves(width=27, height=20, seed=15):
    """A picture of sine waves and some noise."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    channels = [127 + 90 * np.sin(x / (3 + c) + y / (7 - c) + c) for c in range(3)]
    return Image.fromarray((np.stack(channels, 2) + noise).clip(0, 255).astype(np.uint8))


def saved(image, **options):
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def expected_pixels(data):
    """What Pillow shows, upright, on white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return image.convert("RGB")


def add(name, data, expected="equal", pixels=None):
    """Writes a picture: `equal` to its pixels (Pillow's, or those given), `truncated`, or `error`."""
    (FOLDER / name).write_bytes(data)
    try:
        found = expected_pixels(data)
    except Exception as error:
        found = error
    if expected != "equal":
        assert isinstance(found, Exception), f"{name}: Pillow reads it"
        manifest.append(f"{name} {expected} 0 0")
        return
    pixels = pixels or found
    if isinstance(pixels, Exception):
        raise pixels
    (FOLDER / f"{name}.rgb").write_bytes(pixels.tobytes())
    manifest.append(f"{name} equal {pixels.width} {pixels.height}")


# JPEG as a list of parts: one for each segment with its marker, scan data, RSTn markers and EOI.
def jpeg_parts(data):
    parts, at = [], 0
    while at < len(data):
        assert data[at] == 0xFF
        code = data[at + 1]
        if code in (0xD8, 0xD9) or 0xD0 <= code <= 0xD7:
            length = 2
        else:
            length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append(data[at : at + length])
        at += length
        if code == 0xDA or 0xD0 <= code <= 0xD7:
            end = at
            while data[end] != 0xFF or data[end + 1] == 0:
                end += 1
            parts.append(data[at:end])
            at = end
    return parts


def index_of(parts, code, which=0):
    return [i for i, part in enumerate(parts) if part[:2] == bytes((0xFF, code))][which]


def changed(parts, index, part):
    return b"".join(parts[:index] + [part] + parts[index + 1 :])


def make_odd_jpegs():
    plain = saved(waves(), format="JPEG", quality=85)
    parts = jpeg_parts(plain)
    eoi = len(parts) - 1
    sos = index_of(parts, 0xDA)
    app0 = parts[index_of(parts, 0xE0)]
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x05"  # no such colour transform

    scan_header = bytearray(parts[sos])
    scan_header[-2] = 0
    add("odd_sos_se0.jpg", changed(parts, sos, bytes(scan_header)))
    add("odd_stray_before_eoi.jpg", changed(parts, eoi, b"\x12\x34\x56\xff\xd9"))
    add("odd_zeros_before_eoi.jpg", changed(parts, eoi, bytes(20) + b"\xff\xd9"))
    add("odd_stray_in_header.jpg", changed(parts, 2, b"\x12\x34" + parts[2]))
    add("odd_fill_bytes.jpg", changed(parts, 2, b"\xff\xff\xff" + parts[2]))
    add("odd_jfif201.jpg", changed(parts, 1, app0[:9] + b"\x02\x01" + app0[11:]))
    add("odd_adobe_transform.jpg", changed(parts, 1, app0 + adobe))
    add("odd_bytes_after_eoi.jpg", plain + b"trailer " * 40)
    add("odd_no_huffman_tables.jpg",
        b"".join(part for part in jpeg_parts(saved(waves(), format="JPEG", quality=85))
                 if part[:2] != b"\xff\xc4"))
    add("cut_no_eoi.jpg", plain[:-2], "truncated")
    add("cut_half.jpg", plain[: len(plain) // 2 + 100], "truncated")
    add("cut_header.jpg", plain[:300], "truncated")

    image = waves(91, 70, 7)
    parts = jpeg_parts(saved(image, format="JPEG", quality=85, restart_marker_blocks=2))
    rst2 = index_of(parts, 0xD2)
    add("odd_stray_before_rst.jpg", changed(parts, rst2, b"\x12\x34\x56" + parts[rst2]))
    add("odd_rst_out_of_order.jpg", changed(parts, rst2, b"\xff\xd4"))
    add("odd_rst_lost.jpg", changed(parts, rst2, b""))
    add("odd_bytes_lost_before_rst.jpg", changed(parts, rst2 - 1, parts[rst2 - 1][:-9]))
    add("odd_trailer_no_eoi.jpg", changed(parts, len(parts) - 1, b"trailer " * 40))

    progressive = saved(image, format="JPEG", quality=85, progressive=True)
    add("progressive_70.jpg", progressive)
    add("cut_progressive.jpg", progressive[: len(progressive) * 3 // 4], "truncated")
    add("mpo.jpg", saved(waves(), format="MPO", save_all=True, append_images=[waves(seed=3)]))


def png_chunks(data):
    at = 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def png(chunks):
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks)


def make_odd_pngs():
    plain = saved(waves(), format="PNG")
    chunks = list(png_chunks(plain))
    add("odd_no_iend.png", plain[:-12])
    add("odd_bytes_after_iend.png", plain + b"trailer " * 40)
    add("cut_in_data.png", plain[:-100], "truncated")
    add("cut_half.png", plain[: len(plain) // 2], "truncated")
    damaged = bytearray(plain)
    damaged[len(plain) // 2] ^= 0x10
    add("damaged.png", bytes(damaged), "error")
    missing = [(kind, body[:-60] if kind == b"IDAT" else body) for kind, body in chunks]
    add("cut_data_then_iend.png", png(missing), "truncated")


def exif(orientation, order="<"):
    head = b"II*\x00" if order == "<" else b"MM\x00*"
    return b"Exif\x00\x00" + head + struct.pack(order + "IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def stored(image, orientation):
    """The picture as a camera stores it that was held so."""
    undo = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270}
    return image.transpose(undo[orientation]) if orientation in undo else image


def make_turned():
    for orientation in range(1, 9):
        image = stored(waves(), orientation)
        order = "<>"[orientation % 2]
        add(f"exif{orientation}.jpg",
            saved(image, format="JPEG", quality=85, exif=exif(orientation, order)))
        turned = expected_pixels(saved(image, format="PNG", exif=exif(orientation)))
        assert turned.tobytes() == waves().tobytes()
    add("exif6.png", saved(stored(waves(), 6), format="PNG", exif=exif(6)))
    add("exif5_interlaced.png", interlaced(stored(waves(), 5), exif(5)[6:]))
    add("exif6.webp", saved(stored(waves(), 6), format="WEBP", lossless=True, exif=exif(6)))
    add("exif3.webp", saved(stored(waves(), 3), format="WEBP", quality=80, exif=exif(3)))
    jpeg = saved(stored(waves(), 6), format="JPEG", quality=85, exif=exif(9))
    add("exif9.jpg", jpeg)


def interlaced(image, exif_block):
    """PNG in Adam7 order."""
    pixels = np.asarray(image)
    rows = b""
    for x, y, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                         (1, 0, 2, 2), (0, 1, 1, 2)):
        for row in pixels[y::dy, x::dx]:
            rows += b"\x00" + row.tobytes() if row.size else b""
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 1)
    return png([(b"IHDR", header), (b"eXIf", exif_block), (b"IDAT", zlib.compress(rows, 9)),
                (b"IEND", b"")])


def circle():
    """A black circle, antialiased, on transparency with black under it."""
    alpha = Image.new("L", (108, 80))
    ImageDraw.Draw(alpha).ellipse((14, 8, 92, 72), fill=255)
    image = Image.new("RGBA", (27, 20))
    image.putalpha(alpha.resize((27, 20), Image.Resampling.BOX))
    return image


def make_transparent():
    add("circle.png", saved(circle(), format="PNG"))
    add("circle.webp", saved(circle(), format="WEBP", lossless=True, exact=True))
    gray = waves().convert("L")
    add("trns_gray.png", saved(gray.point(lambda v: v & 0xF0), format="PNG", transparency=0x80))
    colors = waves().quantize(6).convert("RGB")
    add("trns_rgb.png", saved(colors, format="PNG", transparency=colors.getpixel((5, 5))))
    palette = waves().quantize(7)
    add("trns_palette.png", saved(palette, format="PNG", transparency=2))
    add("trns_palette_many.png", saved(palette, format="PNG", transparency=bytes((0, 90, 255, 180))))
    bits = gray.point(lambda v: 255 * (v > 127)).convert("1")
    add("trns_gray1.png", saved(bits, format="PNG", transparency=0))

    # Samples that differ in the low byte only, one of them transparent.
    samples = np.asarray(gray).astype(np.uint16) // 32 * 8192 + np.indices((20, 27)).sum(0) % 3
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in samples)
    value = int(samples[10, 13])
    header = struct.pack(">IIBBBBB", 27, 20, 16, 0, 0, 0, 0)
    shown = np.where(samples == value, 255, samples >> 8).astype(np.uint8)
    add("trns_gray16.png",
        png([(b"IHDR", header), (b"tRNS", struct.pack(">H", value)),
             (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]),
        pixels=Image.fromarray(shown).convert("RGB"))


def lzw(indices, bits):
    """GIF's image data: code size, blocks, terminator."""
    clear, end = 1 << bits, (1 << bits) + 1
    codes, table, width, prefix = [(clear, bits + 1)], {}, bits + 1, ()
    for index in indices:
        longer = prefix + (index,)
        if len(longer) == 1 or longer in table:
            prefix = longer
            continue
        codes.append((table[prefix] if len(prefix) > 1 else prefix[0], width))
        if len(table) + end + 1 < 4096:
            table[longer] = len(table) + end + 1
            if len(table) + end == 1 << width:
                width += 1
        prefix = (index,)
    codes.append((table[prefix] if len(prefix) > 1 else prefix[0], width))
    if len(table) + end + 1 >= 1 << width and width < 12:
        width += 1
    codes.append((end, width))
    value = shift = 0
    for code, size in codes:
        value |= code << shift
        shift += size
    data = value.to_bytes((shift + 7) // 8, "little")
    blocks = (data[i : i + 255] for i in range(0, len(data), 255))
    return bytes((bits,)) + b"".join(bytes((len(block),)) + block for block in blocks) + b"\x00"


def gif(indices, screen=None, at=(0, 0), palette=b"", local=b"", transparent=None, bits=None,
        interlace=False, version=b"89a", trailer=b";", background=0):
    """A GIF of one frame. Palettes have 2, 4, ... 256 colours."""
    height, width = indices.shape
    flags = lambda colors: 0x80 | (len(colors) // 3).bit_length() - 2 if colors else 0
    out = b"GIF" + version + struct.pack("<HHBBB", *(screen or (width, height)), flags(palette),
                                         background, 0) + palette
    if transparent is not None:
        out += b"!\xf9\x04\x01\x00\x00" + bytes((transparent,)) + b"\x00"
    out += b"," + struct.pack("<HHHHB", *at, width, height, flags(local) | 0x40 * interlace) + local
    if interlace:
        order = [y for start, step in ((0, 8), (4, 8), (2, 4), (1, 2))
                 for y in range(start, height, step)]
        indices = indices[order]
    bits = bits or max(2, (len(local or palette) // 3).bit_length() - 1)
    return out + lzw(indices.reshape(-1).tolist(), bits) + trailer


def make_gifs():
    image = waves().quantize(32)
    indices = np.asarray(image).copy()
    colors = bytes(image.getpalette()[: 32 * 3])
    other = bytes(255 - c for c in colors)
    part = indices[4:13, 6:17]
    add("plain.gif", gif(indices, palette=colors))
    add("interlaced.gif", gif(indices, palette=colors, interlace=True))
    add("transparent.gif", gif(indices, palette=colors, transparent=3))
    add("transparent_interlaced.gif", gif(indices, palette=colors, transparent=3, interlace=True))
    add("local_palette.gif", gif(indices, local=colors))
    add("both_palettes.gif", gif(indices, palette=other, local=colors))
    add("offset.gif", gif(part, (27, 20), (6, 4), palette=colors, background=5))
    add("offset_transparent.gif", gif(part, (27, 20), (6, 4), palette=colors, transparent=3))
    add("offset_interlaced.gif", gif(part, (27, 20), (6, 4), local=colors, interlace=True))
    add("beyond_screen.gif", gif(indices, (20, 10), (3, 2), palette=colors))
    add("two_colors.gif", gif(indices % 2, palette=b"\xff\x20\x10\x00\x40\xe0", version=b"87a"))
    add("no_palette.gif", gif(indices * 7, bits=8))
    add("index_beyond_palette.gif", gif(indices, palette=colors[:12], bits=5))
    add("index_beyond_gray_palette.gif",
        gif(indices, palette=bytes(i for i in range(4) for _ in range(3)), bits=5))
    add("no_trailer.gif", gif(indices, palette=colors, trailer=b""))
    add("long_codes.gif", gif(np.asarray(waves(91, 70, 7).quantize(256)),
                              palette=bytes(waves(91, 70, 7).quantize(256).getpalette()[:768])))
    add("animated.gif", saved(waves().quantize(32), format="GIF", save_all=True, duration=80,
                              append_images=[waves(seed=3).quantize(32)], loop=0))
    add("pillow_transparent.gif", saved(circle(), format="GIF"))
    add("cut_half.gif", gif(indices, palette=colors)[:300], "truncated")
    add("cut_header.gif", gif(indices, palette=colors)[:40], "truncated")


def make_heifs():
    rgba = waves().convert("RGBA")
    rgba.putalpha(circle().getchannel("A"))
    lossless = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    add("lossless.heic", saved(waves(), format="HEIF", **lossless))
    add("alpha.heic", saved(rgba, format="HEIF", **lossless))
    add("photo.heic", saved(waves(91, 70, 7), format="HEIF", quality=80))
    add("exif6.heic", saved(stored(waves(), 6), format="HEIF", exif=exif(6), **lossless))
    add("photo.avif", saved(waves(91, 70, 7), format="AVIF", quality=80, subsampling="4:4:4"))
    add("alpha.avif", saved(rgba, format="AVIF", quality=90, subsampling="4:4:4"))
    add("exif6.avif",
        saved(stored(waves(), 6), format="AVIF", quality=90, subsampling="4:4:4", exif=exif(6)))


def keep_older():
    """Pictures of older programs, whose pixels alone are written."""
    for name in """420.jpg 422.jpg progressive.jpg gray.jpg cmyk.jpg ycck.jpg exif_rotated.jpg
                   gray1.png gray2.png gray4.png gray8.png gray16.png gray_alpha.png palette4.png
                   palette8_transparent.png rgb8.png rgb16.png rgb8_interlaced.png rgba8.png
                   rgba16_interlaced.png lossy.webp lossless.webp rgba_lossy.webp
                   rgba_lossless.webp animated.webp animated_offset.webp""".split():
        data = (SOURCE / name).read_bytes()
        high = Image.fromarray((np.asarray(Image.open(SOURCE / name)) >> 8).astype(np.uint8)) \
            if name == "gray16.png" else None
        add(name, data, pixels=high and high.convert("RGB"))


for make in (keep_older, make_odd_jpegs, make_odd_pngs, make_turned, make_transparent, make_gifs, make_heifs):
    make()
(FOLDER / "MANIFEST").write_text("".join(line + "\n" for line in manifest))
