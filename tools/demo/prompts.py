"""The conversation's form, as Qwen2 and FastVLM have it: what stands before an image and after it."""

import torch

from tokenizer import Tokenizer

BEFORE = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"


class Prompts:
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
