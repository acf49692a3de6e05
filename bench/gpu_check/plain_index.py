#!/usr/bin/env python3
"""Writes FILE.index beside each safetensors FILE, for plain_checkpoint.hpp: its tensors, and the
sizes of the model that config.json beside it describes."""
import json
import struct
import sys
from pathlib import Path

NUMBERS = ("hidden_size num_hidden_layers num_attention_heads num_key_value_heads intermediate_size "
           "vocab_size rms_norm_eps rope_theta tie_word_embeddings eos_token_id").split()


def index_lines(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    for name, tensor in header.items():
        if name != "__metadata__":
            yield ["tensor", name, tensor["dtype"], *tensor["data_offsets"], *tensor["shape"]]
    config_path = path.parent / "config.json"
    if config_path.exists():
        config = json.loads(config_path.read_text())
        vision = config["vision_config"]
        yield ["config", "image_size", vision["image_size"]]
        yield ["config", "layers", *vision["layers"]]
        yield ["config", "embed_dims", *vision["embed_dims"]]
        for key in NUMBERS:
            yield ["config", key, float(config[key])]


for argument in sys.argv[1:]:
    lines = [" ".join(str(word) for word in line) for line in index_lines(Path(argument))]
    Path(argument + ".index").write_text("\n".join(lines) + "\n")
