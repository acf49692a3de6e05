"""Answers questions about pictures with the demo model in PyTorch, to compare with `fastvlm evaluate`.

  python3 answer.py --model tools/demo/model --cases DIR/cases.jsonl --images DIR --answers FILE

Greedy, in float32. FILE gets each case with what the model said in "got", as from
`fastvlm evaluate --answers FILE`.
"""

import argparse
import json
import os

import numpy as np
import torch
from PIL import Image

from model import FastVlm, preprocess
from prompts import Prompts


@torch.no_grad()
def answer(model, prompts, features, prompt, longest=64):
    """The text that follows a prompt about an image, whose features are [1, image tokens, hidden]."""
    before = torch.tensor(prompts.before)
    ids = prompts.question(prompt)
    start = len(ids)
    while len(ids) < start + longest:
        token = int(model(features, before, torch.tensor([[ids]]))[0, 0, -1].argmax())
        if token == prompts.end:
            break
        ids.append(token)
    return prompts.tokenizer.decode(ids[start:])


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--cases", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--answers", required=True)
    args = parser.parse_args()
    model, prompts = FastVlm.load(args.model), Prompts(args.model)
    size = model.config["vision_config"]["image_size"]
    features = {}
    with open(args.cases, encoding="utf-8") as cases, open(args.answers, "w", encoding="utf-8") as out:
        for line in cases:
            case = json.loads(line)
            name = case["image"]
            if name not in features:
                image = Image.open(os.path.join(args.images, name)).convert("RGB")
                pixels = torch.from_numpy(np.array(preprocess(image, size))).permute(2, 0, 1) / 255
                features[name] = model.encode(pixels[None])
            case["got"] = answer(model, prompts, features[name], case["prompt"])
            out.write(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
