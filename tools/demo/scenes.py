"""Draws synthetic scenes with exact descriptions: what the demo model learns and is tested on.

A scene is one shape, two shapes beside or above each other, several alike shapes, a word or a
number, on a varied background, with blur, noise and JPEG artefacts. Each comes with questions in
English and Chinese, whose answers are unique. Scene i of a seed is the same wherever it is drawn.

  python3 scenes.py --seed 7 --count 50 --per-scene 4 --output DIR

writes DIR/0000.jpg ... (JPEG, PNG and WebP) and DIR/cases.jsonl with one line a question:
{"image", "prompt", "answer", "kind"}. Needs numpy, Pillow and the DejaVu and Liberation fonts.
"""

import argparse
import glob
import io
import json
import math
import os
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

COLOURS = {  # name: (RGB, Chinese)
    "red": ((214, 30, 36), "红色"), "orange": ((246, 134, 24), "橙色"),
    "yellow": ((246, 222, 40), "黄色"), "green": ((34, 152, 56), "绿色"),
    "blue": ((32, 84, 214), "蓝色"), "purple": ((132, 40, 170), "紫色"),
    "black": ((16, 16, 18), "黑色"), "white": ((250, 250, 250), "白色"),
}
SHAPES = {"circle": "圆形", "square": "正方形", "triangle": "三角形",
          "star": "星形", "ring": "圆环", "cross": "十字"}
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six"]
NUMBERS_ZH = ["零", "一", "两", "三", "四", "五", "六"]
SIZES = {"large": (0.135, 0.16, "大的"), "small": (0.06, 0.075, "小的")}  # radius / longer side
PLACES = {"on the left": "左边", "in the middle": "中间", "on the right": "右边"}
WORDS = """apple bird blue boat book cake cat chair city cloud coat corn dance day dog door eagle
east fire fish flag game gold green hand hat horse house ice jam key king lake lamp leaf lion map
milk moon mouse music night north ocean open orange owl paper park pear pink queen rain red river
road rose salt sand ship shop snow song south star stone sun table taxi tea tiger time train tree
water west wind wolf yellow zebra""".split()

# Kind of question: prompts. {} is filled with the thing asked for.
ASK = {
    "describe_en": ["Describe the image.", "What is in this picture?",
                    "Describe this image in one sentence.", "What do you see?",
                    "Describe the image in English. Output should be brief, about 15 words or less."],
    "describe_zh": ["用简短的语言描述图片内容", "描述这张图片。", "图片里有什么？", "请用一句话描述这张图。"],
    "count": ["How many {} are there?", "How many {} do you see?", "Count the {}."],
    "count_zh": ["图中有几个{}？", "有多少个{}？"],
    "colour": ["What colour is the {}?", "What color is the {}?", "Which colour does the {} have?"],
    "colour_many": ["What colour are the {}?", "What color are the {}?"],
    "colour_zh": ["{}是什么颜色？", "{}是什么颜色的？"],
    "there": ["Is there a {} in the picture?", "Is there a {}?", "Do you see a {}?"],
    "there_zh": ["图中有{}吗？", "有{}吗？"],
    "is": ["Is the {} {}?"],
    "read": ["What does the text say?", "Read the text.", "What is written here?"],
    "read_zh": ["图中写着什么？", "读出图中的文字。"],
    "size": ["Is the {} large or small?"],
    "beside": ["What is to the left of the {}?"],
    "above": ["What is above the {}?"],
}


def find_fonts():
    """TrueType files of Latin text faces, in a fixed order."""
    wanted = ("DejaVuSans", "DejaVuSerif", "Liberation")
    files = glob.glob("/usr/share/fonts/truetype/*/*.ttf")
    chosen = [f for f in files if os.path.basename(f).startswith(wanted)
              and not any(s in f for s in ("Oblique", "Italic", "ExtraLight"))]
    if not chosen:
        raise SystemExit("scenes.py: no fonts found; install fonts-dejavu and fonts-liberation")
    return sorted(chosen, key=os.path.basename)


def noise_field(rng, height, width, cells):
    """Smooth noise in 0..1 with about `cells` bumps a side."""
    coarse = (np.random.default_rng(rng.getrandbits(32)).random((cells, cells)) * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BICUBIC)) / 255.0


def background(rng, width, height):
    """Muted tones of middle lightness, so that every named colour stands out."""
    def tone():
        grey = rng.uniform(105, 185)
        return np.array([grey + rng.uniform(-18, 18) for _ in range(3)])
    first, second = tone(), tone()
    y, x = np.mgrid[0:height, 0:width]
    style = rng.choice(["plain", "gradient", "noise", "stripes"])
    if style == "plain":
        mix = np.zeros((height, width))
    elif style == "gradient":
        angle = rng.uniform(0, 2 * math.pi)
        mix = (x * math.cos(angle) + y * math.sin(angle)) / (width + height) + 0.5
    elif style == "noise":
        mix = noise_field(rng, height, width, rng.randint(3, 12))
    else:
        angle, period = rng.uniform(0, math.pi), rng.uniform(0.05, 0.2) * max(width, height)
        mix = 0.5 + 0.5 * np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period)
    pixels = first + np.clip(mix, 0, 1)[..., None] * (second - first)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def draw_shape(draw, shape, x, y, r, colour, turn):
    def polygon(points):
        cos, sin = math.cos(turn), math.sin(turn)
        draw.polygon([(x + r * (a * cos - b * sin), y + r * (a * sin + b * cos)) for a, b in points],
                     fill=colour)
    if shape == "circle":
        draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    elif shape == "ring":
        draw.ellipse([x - r, y - r, x + r, y + r], outline=colour, width=max(2, round(0.34 * r)))
    elif shape == "square":
        polygon([(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)])
    elif shape == "triangle":
        polygon([(0, -1.05), (1.0, 0.8), (-1.0, 0.8)])
    elif shape == "star":
        polygon([(k * math.sin(math.pi * i / 5), -k * math.cos(math.pi * i / 5))
                 for i in range(10) for k in [1.1 if i % 2 == 0 else 0.44]])
    else:  # cross
        t = 0.32
        polygon([(-t, -1), (t, -1), (t, -t), (1, -t), (1, t), (t, t), (t, 1), (-t, 1), (-t, t),
                 (-1, t), (-1, -t), (-t, -t)])


def size_of(radius):
    return "small" if radius < 0.1 else "large"


def thing(size, colour, shape):
    return f"a {size} {colour} {shape}"


def thing_zh(size, colour, shape):
    return f"一个{SIZES[size][2]}{COLOURS[colour][1]}{SHAPES[shape]}"


def sentence(text):
    return text[0].upper() + text[1:] + "."


class Scene:
    """Scene `index` of a seed: what is drawn, and what can be asked about it."""

    def __init__(self, seed, index):
        self.rng = random.Random(f"{seed}/{index}")
        self.questions = []  # (kind, prompt, answer)
        self.marks = []  # (shape, x, y, radius, colour), in units of the longer side
        self.text = None  # (string, colour)
        self.width = self.height = 1.0
        rng = self.rng
        rng.choices([self.one, self.two, self.many, self.writing], [2, 4, 3, 3])[0]()

    def ask(self, kind, key, answer, *filling):
        self.questions.append((kind, self.rng.choice(ASK[key]).format(*filling), answer))

    def frame(self, *aspects):
        aspect = self.rng.choice(aspects)
        self.width, self.height = min(aspect, 1.0), min(1 / aspect, 1.0)

    def radius(self, size):
        low, high, _ = SIZES[size]
        return self.rng.uniform(low, high)

    def inside(self, length, radius):
        return self.rng.uniform(radius + 0.03, length - radius - 0.03)

    def ask_presence(self, shapes, colours):
        rng = self.rng
        here = rng.choice(sorted(shapes))
        missing = rng.choice([s for s in SHAPES if s not in shapes])
        asked = rng.choice([here, missing])
        yes = asked == here
        self.ask("yes_no", "there", "Yes." if yes else "No.", asked)
        asked = rng.choice([here, missing])
        self.ask("yes_no", "there_zh", "有。" if asked == here else "没有。", SHAPES[asked])
        if len(shapes) == len(colours) and shapes:  # each thing has one colour
            colour = shapes[here]
            asked = rng.choice([colour, rng.choice([c for c in COLOURS if c != colour])])
            self.ask("yes_no", "is", "Yes." if asked == colour else "No.", here, asked)

    def one(self):
        rng = self.rng
        self.frame(1, 4 / 3, 3 / 2)
        size, colour, shape = rng.choice(list(SIZES)), rng.choice(list(COLOURS)), rng.choice(list(SHAPES))
        r = self.radius(size)
        place = rng.choice(list(PLACES))
        x = {"on the left": rng.uniform(r + 0.03, 0.24), "in the middle": rng.uniform(0.45, 0.55),
             "on the right": rng.uniform(0.76, 0.97 - r)}[place]
        self.marks = [(shape, x, self.inside(self.height, r), r, colour)]
        self.ask("describe_en", "describe_en", sentence(f"{thing(size, colour, shape)} {place}"))
        self.ask("describe_zh", "describe_zh", f"{thing_zh(size, colour, shape)}在{PLACES[place]}。")
        self.ask("colour", "colour", sentence(colour), shape)
        self.ask("colour", "colour_zh", COLOURS[colour][1] + "。", SHAPES[shape])
        self.ask("count", "count", "One.", "shapes")
        self.ask("size", "size", sentence(size), shape)
        self.ask_presence({shape: colour}, {colour})

    def two(self):
        rng = self.rng
        beside = rng.random() < 0.5
        self.frame(*((1, 4 / 3, 3 / 2) if beside else (1, 3 / 4, 2 / 3)))
        shapes, colours = rng.sample(list(SHAPES), 2), rng.sample(list(COLOURS), 2)
        sizes = [rng.choice(list(SIZES)) for _ in range(2)]
        radii = [self.radius(s) for s in sizes]
        # Along the axis of the relation well apart, across it by less than half of that.
        along = self.width if beside else self.height
        across = self.height if beside else self.width
        gap = max(sum(radii) + 0.05, 0.28)
        first = rng.uniform(radii[0] + 0.03, along - radii[1] - 0.03 - gap)
        second = rng.uniform(first + gap, along - radii[1] - 0.03)
        a = self.inside(across, radii[0])
        reach = 0.4 * (second - first)
        b = rng.uniform(max(a - reach, radii[1] + 0.03), min(a + reach, across - radii[1] - 0.03))
        for i, (main, cross) in enumerate([(first, a), (second, b)]):
            x, y = (main, cross) if beside else (cross, main)
            self.marks.append((shapes[i], x, y, radii[i], colours[i]))
        names = [thing(*t) for t in zip(sizes, colours, shapes)]
        names_zh = [thing_zh(*t) for t in zip(sizes, colours, shapes)]
        relation, relation_zh = ("to the left of", "左边") if beside else ("above", "上面")
        self.ask("describe_en", "describe_en", sentence(f"{names[0]} {relation} {names[1]}"))
        self.ask("describe_zh", "describe_zh", f"{names_zh[0]}在{names_zh[1]}的{relation_zh}。")
        i = rng.randrange(2)
        self.ask("colour", "colour", sentence(colours[i]), shapes[i])
        self.ask("colour", "colour_zh", COLOURS[colours[1 - i]][1] + "。", SHAPES[shapes[1 - i]])
        self.ask("count", "count", "Two.", "shapes")
        self.ask("count", "count", "One.", shapes[i] + "s" if shapes[i] != "cross" else "crosses")
        self.ask("size", "size", sentence(sizes[i]), shapes[i])
        self.ask("position", "beside" if beside else "above", sentence(f"the {shapes[0]}"), shapes[1])
        self.ask_presence(dict(zip(shapes, colours)), set(colours))

    def many(self):
        rng = self.rng
        self.frame(1, 4 / 3, 3 / 4, 3 / 2)
        count = rng.randint(2, 6)
        size = rng.choice(list(SIZES)) if count <= 3 else "small"
        colour, shape = rng.choice(list(COLOURS)), rng.choice(list(SHAPES))
        while len(self.marks) < count:
            r = self.radius(size)
            x, y = self.inside(self.width, r), self.inside(self.height, r)
            if all(math.hypot(x - m[1], y - m[2]) > r + m[3] + 0.045 for m in self.marks):
                self.marks.append((shape, x, y, r, colour))
            elif rng.random() < 0.02:
                self.marks.clear()  # a crowded start: begin again
        plural = "crosses" if shape == "cross" else shape + "s"
        self.ask("describe_en", "describe_en", sentence(f"{NUMBERS[count]} {size} {colour} {plural}"))
        self.ask("describe_zh", "describe_zh",
                 f"{NUMBERS_ZH[count]}个{SIZES[size][2]}{COLOURS[colour][1]}{SHAPES[shape]}。")
        self.ask("count", "count", sentence(NUMBERS[count]), rng.choice([plural, "shapes"]))
        self.ask("count", "count_zh", f"{NUMBERS_ZH[count]}个。", SHAPES[shape])
        self.ask("colour", "colour_many", sentence(colour), plural)
        self.ask("colour", "colour_zh", COLOURS[colour][1] + "。", SHAPES[shape])
        self.ask_presence({shape: colour}, set())

    def writing(self):
        rng = self.rng
        self.frame(1, 4 / 3, 3 / 2)
        colour = rng.choice(list(COLOURS))
        colour_zh = COLOURS[colour][1]
        if rng.random() < 0.6:
            text, kind, kind_zh = rng.choice(WORDS), "word", "单词"
        else:
            text, kind, kind_zh = str(rng.randint(1, 999)), "number", "数字"
        self.text = (text, colour)
        self.ask("describe_en", "describe_en", sentence(f"the {kind} {text} in {colour}"))
        self.ask("describe_zh", "describe_zh", f"{colour_zh}的{kind_zh}{text}。")
        self.ask("read", "read", text)
        self.ask("read", "read_zh", text)
        self.ask("colour", "colour", sentence(colour), rng.choice(["text", kind]))
        self.ask("colour", "colour_zh", colour_zh + "。", rng.choice(["文字", kind_zh]))
        missing = rng.choice(list(SHAPES))
        self.ask("yes_no", "there", "No.", missing)

    def draw(self, fonts):
        """The picture, 208 to 352 pixels on its longer side, with its flaws."""
        rng = self.rng
        scale = 2  # drawn larger, so that edges are smooth
        side = rng.randint(208, 352) * scale
        size = round(side * self.width), round(side * self.height)
        image = background(rng, size[0] // scale, size[1] // scale).resize(size, Image.BILINEAR)
        draw = ImageDraw.Draw(image)

        def shade(name):
            return tuple(max(0, min(255, c + rng.randint(-10, 10))) for c in COLOURS[name][0])
        for shape, x, y, r, colour in self.marks:
            draw_shape(draw, shape, x * side, y * side, r * side, shade(colour), rng.uniform(-0.15, 0.15))
        if self.text:
            self.write(draw, fonts, side, shade(self.text[1]))
        image = image.resize((image.width // scale, image.height // scale), Image.LANCZOS)
        if rng.random() < 0.4:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))
        if rng.random() < 0.5:
            noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(2, 9),
                                                                     (image.height, image.width, 3))
            image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
        if rng.random() < 0.5:
            data = io.BytesIO()
            image.save(data, "JPEG", quality=rng.randint(35, 90))
            image = Image.open(data).convert("RGB")
        return image

    def write(self, draw, fonts, side, colour):
        rng = self.rng
        text = self.text[0].upper() if rng.random() < 0.15 else self.text[0]
        path = rng.choice(fonts)
        widest, highest = 0.84 * side * self.width, 0.36 * side
        probe = ImageFont.truetype(path, 100)
        box = probe.getbbox(text)
        fit = min(widest / (box[2] - box[0]), highest / (box[3] - box[1])) * rng.uniform(0.75, 1)
        font = ImageFont.truetype(path, round(100 * fit))
        box = font.getbbox(text)
        x = rng.uniform(0.04 * side, 0.96 * side * self.width - (box[2] - box[0])) - box[0]
        y = rng.uniform(0.04 * side, 0.96 * side * self.height - (box[3] - box[1])) - box[1]
        draw.text((x, y), text, font=font, fill=colour)


def write_cases(seed, count, per_scene, output):
    os.makedirs(output, exist_ok=True)
    fonts = find_fonts()
    rng = random.Random(f"{seed}/choice")
    with open(os.path.join(output, "cases.jsonl"), "w", encoding="utf-8") as cases:
        for i in range(count):
            scene = Scene(seed, i)
            ending = rng.choice(["jpg", "jpg", "png", "webp"])
            name = f"{i:04d}.{ending}"
            scene.draw(fonts).save(os.path.join(output, name), **({} if ending == "png" else {"quality": 85}))
            chosen = scene.questions
            if per_scene:
                chosen = rng.sample(chosen, min(per_scene, len(chosen)))
            for kind, prompt, answer in chosen:
                line = {"image": name, "prompt": prompt, "answer": answer, "kind": kind}
                cases.write(json.dumps(line, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100, help="scenes to draw [100]")
    parser.add_argument("--per-scene", type=int, default=0, help="questions for each; 0: all [0]")
    parser.add_argument("--output", required=True, help="folder to write to")
    args = parser.parse_args()
    write_cases(args.seed, args.count, args.per_scene, args.output)


if __name__ == "__main__":
    main()
