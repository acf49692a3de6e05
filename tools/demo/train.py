"""Trains the demo model: a FastVLM of a few million parameters on synthetic scenes (scenes.py).

  pip install torch numpy Pillow regex
  python3 train.py --tokenizer FOLDER --work DIR --output tools/demo/model

FOLDER holds Qwen2's vocab.json, merges.txt and added_tokens.json, of which a small vocabulary is cut
(tests/data/tokenizer.tar.xz has them). DIR takes the drawn scenes (0.2 MB each) and the state of the
training, from which --resume goes on, with more --steps if wanted. Uses a GPU if there is one. Each
image is encoded once for several questions; the loss counts the answers' tokens.
"""

import argparse
import collections
import math
import multiprocessing
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import scenes
from model import CONFIG, FastVlm, preprocess
from prompts import BEFORE, Prompts
from tokenizer import Tokenizer

TEST_SEED = 1000003  # of the scenes on which progress is measured


def draw_range(job):
    path, seed, count, size, first, last = job
    pixels = np.memmap(path, np.uint8, "r+", shape=(count, size, size, 3))
    fonts = scenes.find_fonts()
    for i in range(first, last):
        pixels[i] = preprocess(scenes.Scene(seed, i).draw(fonts), size)


def draw_scenes(work, seed, count, size):
    """The pixels of scenes [0, count) of a seed, drawn once and kept in a file."""
    path = os.path.join(work, f"scenes-{seed}-{count}-{size}.u8")
    if not os.path.exists(path):
        partial = path + ".partial"
        np.memmap(partial, np.uint8, "w+", shape=(count, size, size, 3)).flush()
        jobs = [(partial, seed, count, size, i, min(i + 250, count)) for i in range(0, count, 250)]
        with multiprocessing.Pool() as pool:
            for done, _ in enumerate(pool.imap_unordered(draw_range, jobs), 1):
                print(f"\rdrawing scenes: {100 * done // len(jobs)} %", end="", flush=True)
        print()
        os.rename(partial, path)
    return np.memmap(path, np.uint8, "r", shape=(count, size, size, 3))


def all_texts():
    """What the scenes ask and answer, more or less: enough to cut the vocabulary."""
    for i in range(20000):
        for _, prompt, answer in scenes.Scene("vocabulary", i).questions:
            yield prompt
            yield answer
    for word in scenes.WORDS:
        yield from (word, f" {word} in", f"的单词{word}。")
    yield from (BEFORE, "\n", "assistant\n", "user\n", "system\n")


def contrast(scene, rng):
    """The same question about each of two things: only who reads which one is meant can answer both."""
    kind = rng.choice(["colour", "colour_zh", "size", "is"])
    question = rng.choice(scenes.ASK[kind])
    for shape, _, _, r, colour in scene.marks:
        if kind == "colour":
            yield question.format(shape), scenes.sentence(colour)
        elif kind == "colour_zh":
            yield question.format(scenes.SHAPES[shape]), scenes.COLOURS[colour][1] + "。"
        elif kind == "size":
            yield question.format(shape), scenes.sentence(scenes.size_of(r))
        else:
            asked = rng.choice(scene.marks)[4]
            yield question.format(shape, asked), "Yes." if asked == colour else "No."


def choose_questions(scene, count, rng):
    """A description in one of the languages, and others from the rest."""
    fixed = [q for q in scene.questions if q[0].startswith("describe")]
    others = [q for q in scene.questions if not q[0].startswith("describe")]
    chosen = [q[1:] for q in [rng.choice(fixed), *rng.sample(others, min(count - 1, len(others)))]]
    if len({shape for shape, *_ in scene.marks}) == 2:
        chosen = [*contrast(scene, rng), *chosen][:count]
    return chosen + [q[1:] for q in rng.choices(others, k=count - len(chosen))]


def augment(pixels, rng):
    """[batch, S, S, 3] bytes -> [batch, 3, S, S] in 0..1, moved and lit a little differently, and by
    how many pixels (right, down) they were moved."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    dx, dy = rng.randint(-8, 8), rng.randint(-8, 8)
    x = torch.roll(x, (dy, dx), (2, 3))
    gain = 1 + 0.06 * torch.randn(len(x), 1, 1, 1)
    return (x * gain).clamp(0, 1), (dx, dy)


class Hints(nn.Module):
    """What a scene is, read straight from the image tokens by linear maps: whether a thing has its
    centre in a token's part of the picture, its shape, colour and size, and which letters a text has.
    Their loss teaches the encoder to see long before the decoder has learned to ask; they are not
    part of the model."""

    LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
    LONGEST = 6  # letters
    KINDS = list(scenes.SHAPES), list(scenes.COLOURS), list(scenes.SIZES)

    def __init__(self, hidden, side):
        super().__init__()
        self.side = side
        self.things = nn.Linear(hidden, 1 + sum(len(kind) for kind in self.KINDS))
        self.letters = nn.Linear(hidden * side * side, self.LONGEST * (len(self.LETTERS) + 1))

    def targets(self, batch, shift):
        """For scenes moved by a share of the picture's side: things [n, tokens, 3], the numbers of
        shape, colour and size or -100, and letters [n, LONGEST], -100 for scenes without text."""
        things = torch.full((len(batch), self.side * self.side, len(self.KINDS)), -100)
        letters = torch.full((len(batch), self.LONGEST), -100)
        for i, scene in enumerate(batch):
            for shape, x, y, r, colour in scene.marks:
                column = int((x + (1 - scene.width) / 2 + shift[0]) * self.side)
                row = int((y + (1 - scene.height) / 2 + shift[1]) * self.side)
                names = shape, colour, scenes.size_of(r)
                things[i, row * self.side + column] = torch.tensor(
                    [kind.index(name) for kind, name in zip(self.KINDS, names)])
            if scene.text:
                text = [self.LETTERS.index(c) for c in scene.text[0]]
                letters[i] = torch.tensor(text + [len(self.LETTERS)] * (self.LONGEST - len(text)))
        return things, letters

    def loss(self, features, things, letters):
        """features [n, tokens, hidden]"""
        def classify(scores, numbers):
            wrong = F.cross_entropy(scores.flatten(0, -2), numbers.flatten(), reduction="sum")
            return wrong / max(1, int((numbers >= 0).sum()))
        there, *kinds = self.things(features).float().split([1, *(len(k) for k in self.KINDS)], -1)
        loss = F.binary_cross_entropy_with_logits(there[..., 0], (things[..., 0] >= 0).float())
        for i, scores in enumerate(kinds):
            loss = loss + classify(scores, things[..., i])
        read = self.letters(features.flatten(1)).float().unflatten(1, (self.LONGEST, -1))
        return 0.3 * loss + 0.3 * classify(read, letters)


@torch.no_grad()
def evaluate(model, prompts, pixels, size, device):
    """Share of questions of each kind whose whole answer is the most likely one."""
    model.eval()
    before = torch.tensor(prompts.before, device=device)
    right, asked = collections.Counter(), collections.Counter()
    for first in range(0, len(pixels), 50):
        block = torch.from_numpy(np.array(pixels[first:first + 50])).permute(0, 3, 1, 2).to(device) / 255
        features = model.encode(block)
        for i in range(len(block)):
            questions = scenes.Scene(TEST_SEED, first + i).questions
            inputs, targets = prompts.batch([(p, a) for _, p, a in questions])
            inputs, targets = inputs.to(device), targets.to(device)
            logits = model(features[i:i + 1], before, inputs[None])[0]
            good = ((logits.argmax(-1) == targets) | (targets == -100)).all(1)
            for (kind, _, _), ok in zip(questions, good.tolist()):
                asked[kind] += 1
                right[kind] += ok
    model.train()
    return {kind: right[kind] / asked[kind] for kind in sorted(asked)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="folder of Qwen2's vocabulary")
    parser.add_argument("--work", required=True, help="folder for scenes and the training's state")
    parser.add_argument("--output", required=True, help="folder for the finished model")
    parser.add_argument("--steps", type=int, default=7200, help="of --batch images each [7200]")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--hint-steps", type=int, default=2500,
                        help="of these, the first N teach the encoder alone, by hints [2500]")
    parser.add_argument("--questions", type=int, default=4, help="for each image of a step [4]")
    parser.add_argument("--scenes", type=int, default=40000, help="different scenes to draw [40000]")
    parser.add_argument("--rate", type=float, default=1.8e-3, help="highest learning rate [0.0018]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()

    os.makedirs(args.work, exist_ok=True)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = CONFIG["vision_config"]["image_size"]
    if not os.path.exists(os.path.join(args.output, "vocab.json")):
        Tokenizer(args.tokenizer).cut(all_texts(), args.output)
    prompts = Prompts(args.output)
    ids = prompts.tokenizer.special
    vocabulary = math.ceil((max(ids.values()) + 1) / 16) * 16
    config = {**CONFIG, "vocab_size": vocabulary, "bos_token_id": prompts.padding, "eos_token_id": prompts.end}
    model = FastVlm(config).to(device).to(memory_format=torch.channels_last)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {vocabulary} tokens")

    pixels = draw_scenes(args.work, args.seed, args.scenes, size)
    test = draw_scenes(args.work, TEST_SEED, 200, size)
    if not args.resume:
        start = torch.from_numpy(np.array(pixels[:64])).permute(0, 3, 1, 2).to(device) / 255
        model.calibrate(start)
    side = size // 64
    hints = Hints(config["hidden_size"], side).to(device)
    parameters = [*model.parameters(), *hints.parameters()]
    decayed = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05},
                                   {"params": others, "weight_decay": 0}], lr=args.rate, betas=(0.9, 0.98))
    state_file = os.path.join(args.work, "state.pt")
    step = 0
    if args.resume:
        state = torch.load(state_file, map_location=device)
        model.load_state_dict(state["model"])
        hints.load_state_dict(state["hints"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    before = torch.tensor(prompts.before, device=device)
    started, seen, losses = time.time(), 0, []
    while step < args.steps:
        rng = random.Random(f"{args.seed}/{step}")
        warm = min(1, (step + 1) / 200)
        rate = args.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        chosen = sorted(rng.sample(range(args.scenes), args.batch))
        batch = [scenes.Scene(args.seed, i) for i in chosen]
        images, moved = augment(pixels[chosen], rng)
        things, letters = hints.targets(batch, (moved[0] / size, moved[1] / size))
        with torch.autocast(device, dtype=torch.bfloat16):
            features = model.encode(images.to(device).to(memory_format=torch.channels_last))
            hint = hints.loss(features, things.to(device), letters.to(device))
            loss = torch.zeros((), device=device)
            if step >= args.hint_steps:
                pairs = [p for scene in batch for p in choose_questions(scene, args.questions, rng)]
                inputs, targets = (t.to(device) for t in prompts.batch(pairs))
                logits = model(features, before, inputs.unflatten(0, (args.batch, args.questions)))
                loss = F.cross_entropy(logits.float().flatten(0, 2), targets.flatten(), ignore_index=-100)
        optimiser.zero_grad(set_to_none=True)
        (loss + hint).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        step += 1
        seen += args.batch
        losses.append((loss.item(), hint.item()))
        if step % 50 == 0:
            answers, hinted = np.mean(losses, 0)
            print(f"step {step} loss {answers:.4f} hints {hinted:.4f} rate {rate:.5f} "
                  f"{seen / (time.time() - started):.1f} images/s", flush=True)
            losses.clear()
        if step % 500 == 0 or step == args.steps:
            torch.save({"model": model.state_dict(), "hints": hints.state_dict(),
                        "optimiser": optimiser.state_dict(), "step": step}, state_file + ".partial")
            os.replace(state_file + ".partial", state_file)
            model.export(args.output)
            scores = evaluate(model, prompts, test, size, device)
            print("scores " + " ".join(f"{k} {100 * v:.1f}" for k, v in scores.items()), flush=True)


if __name__ == "__main__":
    main()
