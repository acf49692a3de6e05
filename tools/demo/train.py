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
from PIL import Image

import scenes
from model import CONFIG, FastVlm
from tokenizer import Tokenizer

BEFORE = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
TEST_SEED = 1000003  # of the scenes on which progress is measured


def preprocess(image, size):
    """Centred on a black square, then resized: [size, size, 3] bytes."""
    side = max(image.size)
    square = Image.new("RGB", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square.resize((size, size), Image.BICUBIC))


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


class Texts:
    """Prompts and answers as ids."""

    def __init__(self, folder):
        self.tokenizer = Tokenizer(folder)
        self.end = self.tokenizer.special["<|im_end|>"]
        self.padding = self.tokenizer.special["<|endoftext|>"]
        self.before = self.with_special(BEFORE)

    def with_special(self, text):
        ids = []
        for i, turn in enumerate(text.split("<|im_start|>")):
            if i > 0:
                ids.append(self.tokenizer.special["<|im_start|>"])
            content, *rest = turn.split("<|im_end|>")
            ids += self.tokenizer.encode(content)
            for after in rest:
                ids += [self.end, *self.tokenizer.encode(after)]
        return ids

    def question(self, prompt):
        return self.with_special(f"\n{prompt}<|im_end|>\n<|im_start|>assistant\n")

    def batch(self, pairs):
        """Inputs [n, t] and targets [n, t] of (prompt, answer); -100 where the loss does not look."""
        rows = []
        for prompt, answer in pairs:
            question = self.question(prompt)
            rows.append((question + self.tokenizer.encode(answer) + [self.end], len(question)))
        length = max(len(ids) for ids, _ in rows) - 1
        inputs = torch.full((len(rows), length), self.padding)
        targets = torch.full((len(rows), length), -100)
        for i, (ids, start) in enumerate(rows):
            inputs[i, :len(ids) - 1] = torch.tensor(ids[:-1])
            targets[i, start - 1:len(ids) - 1] = torch.tensor(ids[start:])
        return inputs, targets


def all_texts():
    """Everything the scenes can ask and answer, more or less: enough to cut the vocabulary."""
    for i in range(20000):
        for _, prompt, answer in scenes.Scene("vocabulary", i).questions:
            yield prompt
            yield answer
    for word in scenes.WORDS:
        yield from (word, f" {word} in", f"的单词{word}。")
    yield from (BEFORE, "\n", "assistant\n", "user\n", "system\n")


def choose_questions(scene, count, rng):
    """A description in each language, and others from the rest."""
    fixed = [q for q in scene.questions if q[0].startswith("describe")]
    others = [q for q in scene.questions if not q[0].startswith("describe")]
    chosen = [rng.choice(fixed), *rng.sample(others, min(count - 1, len(others)))]
    chosen += rng.choices(others, k=count - len(chosen))
    return [(prompt, answer) for _, prompt, answer in chosen]


def augment(pixels, rng):
    """[batch, S, S, 3] bytes -> [batch, 3, S, S] in 0..1, moved and lit a little differently."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    dx, dy = rng.randint(-8, 8), rng.randint(-8, 8)
    x = torch.roll(x, (dy, dx), (2, 3))
    gain = 1 + 0.06 * torch.randn(len(x), 1, 1, 1)
    return (x * gain).clamp(0, 1)


@torch.no_grad()
def answer(model, texts, features, prompts, device):
    """Greedy answers to prompts about images, whose features are [n, image tokens, hidden]."""
    before = torch.tensor(texts.before, device=device)
    answers = []
    for i, prompt in enumerate(prompts):
        ids = texts.question(prompt)
        start = len(ids)
        while len(ids) < start + 40:
            logits = model(features[i:i + 1], before, torch.tensor([ids], device=device))
            token = int(logits[0, -1].argmax())
            if token == texts.end:
                break
            ids.append(token)
        answers.append(texts.tokenizer.decode(ids[start:]))
    return answers


@torch.no_grad()
def evaluate(model, texts, pixels, size, device):
    """Share of questions of each kind whose whole answer is the most likely one."""
    model.eval()
    before = torch.tensor(texts.before, device=device)
    right, asked = collections.Counter(), collections.Counter()
    for first in range(0, len(pixels), 50):
        block = torch.from_numpy(pixels[first:first + 50]).permute(0, 3, 1, 2).to(device) / 255
        features = model.encode(block)
        for i in range(len(block)):
            questions = scenes.Scene(TEST_SEED, first + i).questions
            inputs, targets = texts.batch([(p, a) for _, p, a in questions])
            inputs, targets = inputs.to(device), targets.to(device)
            logits = model(features[i:i + 1].expand(len(inputs), -1, -1), before, inputs)
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
    parser.add_argument("--steps", type=int, default=6000, help="of --batch images each [6000]")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--questions", type=int, default=3, help="for each image of a step [3]")
    parser.add_argument("--scenes", type=int, default=40000, help="different scenes to draw [40000]")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate [0.0015]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()

    os.makedirs(args.work, exist_ok=True)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = CONFIG["vision_config"]["image_size"]
    if not os.path.exists(os.path.join(args.output, "vocab.json")):
        Tokenizer(args.tokenizer).cut(all_texts(), args.output)
    texts = Texts(args.output)
    ids = texts.tokenizer.special
    vocabulary = math.ceil((max(ids.values()) + 1) / 16) * 16
    config = {**CONFIG, "vocab_size": vocabulary, "bos_token_id": texts.padding, "eos_token_id": texts.end}
    model = FastVlm(config).to(device).to(memory_format=torch.channels_last)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {vocabulary} tokens")

    pixels = draw_scenes(args.work, args.seed, args.scenes, size)
    test = draw_scenes(args.work, TEST_SEED, 200, size)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05},
                                   {"params": others, "weight_decay": 0}], lr=args.rate, betas=(0.9, 0.98))
    state_file = os.path.join(args.work, "state.pt")
    step = 0
    if args.resume:
        state = torch.load(state_file, map_location=device)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    before = torch.tensor(texts.before, device=device)
    started, seen, losses = time.time(), 0, []
    while step < args.steps:
        rng = random.Random(f"{args.seed}/{step}")
        warm = min(1, (step + 1) / 200)
        rate = args.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        chosen = sorted(rng.sample(range(args.scenes), args.batch))
        pairs = []
        for i in chosen:
            pairs += choose_questions(scenes.Scene(args.seed, i), args.questions, rng)
        inputs, targets = (t.to(device) for t in texts.batch(pairs))
        images = augment(pixels[chosen], rng).to(device).to(memory_format=torch.channels_last)
        with torch.autocast(device, dtype=torch.bfloat16):
            features = model.encode(images).repeat_interleave(args.questions, 0)
            logits = model(features, before, inputs)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        seen += args.batch
        losses.append(loss.item())
        if step % 50 == 0:
            print(f"step {step} loss {np.mean(losses):.4f} rate {rate:.5f} "
                  f"{seen / (time.time() - started):.1f} images/s", flush=True)
            losses.clear()
        if step % 500 == 0 or step == args.steps:
            torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step},
                       state_file + ".partial")
            os.replace(state_file + ".partial", state_file)
            model.export(args.output)
            scores = evaluate(model, texts, test, size, device)
            print("scores " + " ".join(f"{k} {100 * v:.1f}" for k, v in scores.items()), flush=True)


if __name__ == "__main__":
    main()
