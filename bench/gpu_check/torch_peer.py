#!/usr/bin/env python3
"""The same model and work in PyTorch, with random weights in bfloat16: torch_peer.py SIZE [--device D].

The encoder is tools/demo/model.py's, as PyTorch runs it best (channels last, batch norms folded), the
decoder transformers' Qwen2. Three ways: eager with plain attention, eager with PyTorch's fused
attention (sdpa), and compiled with CUDA graphs and a static cache. Prints a line of JSON for each.
"""
import argparse
import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.cache_utils import StaticCache

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools/demo"))
import model as demo  # noqa: E402

ENCODER = {"image_size": 1024, "layers": [2, 12, 24, 4, 2], "embed_dims": [96, 192, 384, 768, 1536],
           "mlp_ratio": 4, "token_mixers": ["repmixer"] * 3 + ["attention"] * 2, "head_dim": 32,
           "cls_ratio": 2, "se_ratio": 0.0625}
DECODER = {  # hidden, layers, heads, kv heads, intermediate, vocabulary, tied
    "0.5b": (896, 24, 14, 2, 4864, 151936, True), "1.5b": (1536, 28, 12, 2, 8960, 151936, True),
    "7b": (3584, 28, 28, 4, 18944, 152064, False), "tiny": (64, 2, 4, 2, 128, 1000, True)}
TEXT_TOKENS = 24  # as in bench.cpp
STEPS = 48


class Projector(nn.Sequential):
    def __init__(self, features, hidden):
        super().__init__(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, hidden))


class Encoder(nn.Module):
    def __init__(self, config, hidden):
        super().__init__()
        self.vision = demo.FastViTHD(config)
        self.projector = Projector(config["embed_dims"][-1] * config["cls_ratio"], hidden)

    def forward(self, pixels):
        return self.projector(self.vision(pixels))


def fused_attention(self, x):
    b, c, h, w = x.shape
    qkv = self.qkv(x.flatten(2).transpose(1, 2)).reshape(b, h * w, 3, -1, self.head_dim)
    out = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
    return self.proj(out.transpose(1, 2).reshape(b, h * w, c)).transpose(1, 2).reshape(b, c, h, w)


def fold_batch_norms(module):
    for block in module.modules():
        if isinstance(block, demo.ConvFfn):
            block.conv = nn.utils.fusion.fuse_conv_bn_eval(block.conv.conv, block.conv.bn)


class Peer:
    def __init__(self, size, way, device, encoder_config):
        hidden, layers, heads, kv_heads, intermediate, vocabulary, tied = DECODER[size]
        demo.Convolution.forward = nn.Conv2d.forward
        if way != "eager":
            demo.ImageAttention.forward = fused_attention
        self.device = device
        self.side = encoder_config["image_size"]
        self.encoder = Encoder(encoder_config, hidden).eval()
        fold_batch_norms(self.encoder)
        self.encoder.to(device, torch.bfloat16, memory_format=torch.channels_last)
        config = Qwen2Config(
            hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=kv_heads, intermediate_size=intermediate, vocab_size=vocabulary,
            tie_word_embeddings=tied, dtype=torch.bfloat16,
            attn_implementation="eager" if way == "eager" else "sdpa")
        torch.set_default_dtype(torch.bfloat16)
        with torch.device(device):
            self.decoder = Qwen2ForCausalLM(config).eval()
        torch.set_default_dtype(torch.float32)
        self.config = config
        self.rows = (self.side // 64) ** 2 + TEXT_TOKENS
        self.encode = self.encoder
        self.step = self.decoder_pass
        if way == "compiled":
            self.encode = torch.compile(self.encoder, mode="reduce-overhead")
            self.step = torch.compile(self.decoder_pass, mode="reduce-overhead")

    def decoder_pass(self, rows, cache, positions):
        logits = self.decoder(inputs_embeds=rows, past_key_values=cache, cache_position=positions,
                              use_cache=True, logits_to_keep=1).logits
        return logits[:, -1].argmax(-1)

    def new_cache(self):  # for the batch of its first use
        return StaticCache(config=self.config, max_cache_len=self.rows + STEPS)

    def pixels(self, batch):
        return torch.rand(batch, 3, self.side, self.side, device=self.device,
                          dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)

    def synchronize(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def median(self, runs, work):
        for _ in range(3):
            work()
        self.synchronize()
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            work()
            self.synchronize()
            seconds.append(time.perf_counter() - start)
        return sorted(seconds)[runs // 2]

    def prompt(self, batch):
        return torch.randn(batch, self.rows, self.config.hidden_size, device=self.device,
                           dtype=torch.bfloat16)

    def first_token(self):
        host = torch.randint(0, 255, (1, 3, self.side, self.side), dtype=torch.uint8)
        ids = torch.ones(1, TEXT_TOKENS, dtype=torch.long, device=self.device)
        positions = torch.arange(self.rows, device=self.device)
        cache = self.new_cache()

        def work():
            pixels = host.to(self.device).to(torch.bfloat16).div_(255)
            image = self.encode(pixels.contiguous(memory_format=torch.channels_last))
            text = self.decoder.get_input_embeddings()(ids)
            cache.reset()
            # The prompt in one eager pass: its graph would be another for each length.
            self.decoder_pass(torch.cat([image, text], 1), cache, positions).tolist()
        return self.median(10, work)

    def decode(self, batch):
        cache = self.new_cache()
        embedding = self.decoder.get_input_embeddings()
        prompt = self.prompt(batch)
        positions = torch.arange(self.rows, device=self.device)
        position = torch.zeros(1, dtype=torch.long, device=self.device)
        seconds = []
        for _ in range(4):  # the first ones record and warm up
            cache.reset()
            token = self.decoder_pass(prompt, cache, positions)
            self.synchronize()
            start = time.perf_counter()
            for step in range(STEPS):
                position.fill_(self.rows + step)
                token = self.step(embedding(token)[:, None], cache, position).clone()
            token.tolist()
            seconds.append(time.perf_counter() - start)
        return batch * STEPS / min(seconds)


@torch.inference_mode()
def measure(size, way, device, encoder_config):
    peer = Peer(size, way, device, encoder_config)
    figures = {"model": size, "format": f"torch {way}"}
    for batch, name in ((1, "encoder_s"), (8, "encoder_8_images_s")):
        pixels = peer.pixels(batch)
        figures[name] = peer.median(10, lambda: peer.encode(pixels))  # noqa: B023
    figures["ttft_s"] = peer.first_token()
    for batch in (1, 8, 32):
        figures[f"decode_{batch}_tok_s"] = peer.decode(batch)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=DECODER)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--ways", nargs="+", default=["eager", "sdpa", "compiled"])
    parser.add_argument("--small-encoder", action="store_true", help="to try the script without a GPU")
    arguments = parser.parse_args()
    encoder = dict(ENCODER)
    if arguments.small_encoder:
        encoder.update(image_size=128, layers=[1] * 5, embed_dims=[16, 32, 64, 128, 256])
    for way in arguments.ways:
        try:
            figures = measure(arguments.size, way, arguments.device, encoder)
        except Exception as error:  # noqa: BLE001: one way's failure leaves the others
            figures = {"model": arguments.size, "format": f"torch {way}",
                       "error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
