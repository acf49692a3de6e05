"""Qwen2's byte-level BPE, and how a small vocabulary is cut from the full one."""

import json
import os
import unicodedata

import regex

PATTERN = regex.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_letters():
    """The printable letter that stands for each byte in vocab.json (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, spare = {b: chr(b) for b in plain}, 256
    for b in range(256):
        if b not in letters:
            letters[b], spare = chr(spare), spare + 1
    return letters


class Tokenizer:
    def __init__(self, folder):
        with open(os.path.join(folder, "vocab.json"), encoding="utf-8") as f:
            self.ids = json.load(f)
        with open(os.path.join(folder, "merges.txt"), encoding="utf-8") as f:
            pairs = [tuple(line.split(" ")) for line in f.read().split("\n") if line and line[0] != "#"]
        self.rank = {pair: i for i, pair in enumerate(pairs)}
        with open(os.path.join(folder, "added_tokens.json"), encoding="utf-8") as f:
            self.special = json.load(f)
        self.letters = byte_letters()
        self.bytes = {letter: b for b, letter in self.letters.items()}
        self.words = {}
        self.used = set()  # merges that some text has needed

    def merge(self, word):
        parts = [self.letters[b] for b in word.encode()]
        while len(parts) > 1:
            pairs = list(zip(parts, parts[1:]))
            best = min(pairs, key=lambda p: self.rank.get(p, len(self.rank)))
            if best not in self.rank:
                break
            self.used.add(best)
            merged, i = [], 0
            while i < len(parts):
                if tuple(parts[i:i + 2]) == best:
                    merged.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            parts = merged
        return parts

    def encode(self, text):
        """Ids of a text without special tokens."""
        ids = []
        for word in PATTERN.findall(unicodedata.normalize("NFC", text)):
            if word not in self.words:
                self.words[word] = [self.ids[part] for part in self.merge(word)]
            ids += self.words[word]
        return ids

    def decode(self, ids):
        names = {i: name for name, i in self.ids.items()}
        data = bytes(self.bytes[c] for i in ids for c in names.get(i, ""))
        return data.decode("utf-8", errors="replace")

    def cut(self, texts, folder):
        """Writes a vocabulary with the bytes and what the texts need; these encode as before."""
        for text in texts:
            self.encode(text)
        merges = sorted(self.used, key=self.rank.get)
        # In the order of the full vocabulary, in which the bytes come first.
        tokens = sorted(set(self.letters.values()) | {a + b for a, b in merges}, key=self.ids.get)
        os.makedirs(folder, exist_ok=True)

        def write(name, content):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
        write("vocab.json", {token: i for i, token in enumerate(tokens)})
        write("merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
        special = {name: len(tokens) + i for i, name in enumerate(SPECIAL)}
        write("added_tokens.json", special)
        write("tokenizer_config.json", {
            "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>", "unk_token": None, "errors": "replace",
            "model_max_length": 2048, "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "added_tokens_decoder": {
                str(i): {"content": name, "lstrip": False, "normalized": False, "rstrip": False,
                         "single_word": False, "special": True} for name, i in special.items()}})
