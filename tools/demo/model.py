"""FastVLM in PyTorch at any size, with the tensor names of the released checkpoints.

All convolutions are in their re-parameterised form, as released; only ConvFFN has a BatchNorm. Feature
maps are [batch, channels, height, width], sequences [batch, tokens, hidden].
"""

import json
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {
    "architectures": ["LlavaQwen2ForCausalLM"], "model_type": "llava_qwen2",
    "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "hidden_act": "silu",
    "max_position_embeddings": 2048, "torch_dtype": "bfloat16", "image_aspect_ratio": "pad",
    "mm_projector_type": "mlp2x_gelu", "mm_vision_tower": "mobileclip_l_256", "mm_hidden_size": 768,
    "mm_patch_merge_type": "flat", "mm_use_im_start_end": False, "mm_use_im_patch_token": False,
    "tokenizer_model_max_length": 2048,
    "vision_config": {
        "image_size": 256, "layers": [1, 2, 4, 2, 1], "embed_dims": [24, 48, 96, 192, 384],
        "mlp_ratio": 4, "token_mixers": ["repmixer"] * 3 + ["attention"] * 2, "head_dim": 32,
        "cls_ratio": 2, "se_ratio": 0.0625},
    "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 640, "tie_word_embeddings": True,
}


def conv(channels_in, channels_out, kernel, stride=1, groups=1, bias=True):
    return nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=bias)


def depthwise(layer, x):
    """A grouped convolution as PyTorch's CPU finds its gradients fastest: in float32, and with the
    channels repeated where there are several filters for each."""
    several = layer.out_channels // layer.groups
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        if several > 1:
            x = x.repeat_interleave(several, 1)
        return F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding,
                        groups=layer.out_channels)


class Reparam(nn.Module):
    """A convolution under the name that re-parameterised blocks have in a checkpoint."""

    def __init__(self, *args, name="reparam_conv", skip=False, **kwargs):
        super().__init__()
        self.name = name
        layer = conv(*args, **kwargs)
        if skip:  # begins as the identity: the skip is folded into the middle of the filter
            with torch.no_grad():
                layer.weight.mul_(0.1)
                layer.weight[:, 0, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] += 1
        self.add_module(name, layer)

    def forward(self, x):
        layer = getattr(self, self.name)
        return layer(x) if layer.groups == 1 else depthwise(layer, x)


class ConvBn(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = conv(channels, channels, 7, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.bn(depthwise(self.conv, x))


class ConvFfn(nn.Module):
    def __init__(self, channels, ratio):
        super().__init__()
        self.conv = ConvBn(channels)
        self.fc1 = conv(channels, channels * ratio, 1)
        self.fc2 = conv(channels * ratio, channels, 1)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(self.conv(x))))


def scale(channels):
    return nn.Parameter(torch.full((channels, 1, 1), 0.2))


class RepMixerBlock(nn.Module):
    def __init__(self, channels, ratio):
        super().__init__()
        self.token_mixer = Reparam(channels, channels, 3, groups=channels, skip=True)
        self.convffn = ConvFfn(channels, ratio)
        self.layer_scale = scale(channels)

    def forward(self, x):
        x = self.token_mixer(x)
        return x + self.layer_scale * self.convffn(x)


class ChannelNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, 1e-5).permute(0, 3, 1, 2)


class ImageAttention(nn.Module):
    def __init__(self, channels, head_dim):
        super().__init__()
        self.head_dim = head_dim
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x):
        b, c, h, w = x.shape
        qkv = self.qkv(x.flatten(2).transpose(1, 2)).reshape(b, h * w, 3, -1, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.proj(out.transpose(1, 2).reshape(b, h * w, c)).transpose(1, 2).reshape(b, c, h, w)


class AttentionBlock(nn.Module):
    def __init__(self, channels, ratio, head_dim):
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.token_mixer = ImageAttention(channels, head_dim)
        self.convffn = ConvFfn(channels, ratio)
        self.layer_scale_1 = scale(channels)
        self.layer_scale_2 = scale(channels)

    def forward(self, x):
        x = x + self.layer_scale_1 * self.token_mixer(self.norm(x))
        return x + self.layer_scale_2 * self.convffn(x)


class Downsample(nn.Module):
    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.proj = nn.ModuleList([
            Reparam(channels_in, channels_out, 7, stride=2, groups=channels_in, name="lkb_reparam"),
            Reparam(channels_out, channels_out, 1)])

    def forward(self, x):
        return F.gelu(self.proj[1](F.gelu(self.proj[0](x))))


class SqueezeExcite(nn.Module):
    def __init__(self, channels, ratio):
        super().__init__()
        self.reduce = conv(channels, int(channels * ratio), 1)
        self.expand = conv(int(channels * ratio), channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True)))))


class Expand(Reparam):
    def __init__(self, channels, ratio, se_ratio):
        super().__init__(channels, channels * ratio, 3, groups=channels)
        self.se = SqueezeExcite(channels * ratio, se_ratio)

    def forward(self, x):
        return F.gelu(self.se(super().forward(x)))


class FastViTHD(nn.Module):
    def __init__(self, c):
        super().__init__()
        dims = c["embed_dims"]
        self.patch_embed = nn.ModuleList([
            Reparam(3, dims[0], 3, stride=2), Reparam(dims[0], dims[0], 3, stride=2, groups=dims[0]),
            Reparam(dims[0], dims[0], 1)])
        network = []
        for i, depth in enumerate(c["layers"]):
            if c["token_mixers"][i] == "attention":
                network.append(Reparam(dims[i], dims[i], 7, groups=dims[i], skip=True))
                blocks = [AttentionBlock(dims[i], c["mlp_ratio"], c["head_dim"]) for _ in range(depth)]
            else:
                blocks = [RepMixerBlock(dims[i], c["mlp_ratio"]) for _ in range(depth)]
            network.append(nn.Sequential(*blocks))
            if i + 1 < len(dims):
                network.append(Downsample(dims[i], dims[i + 1]))
        self.network = nn.Sequential(*network)
        self.conv_exp = Expand(dims[-1], c["cls_ratio"], c["se_ratio"])

    def forward(self, x):
        for layer in self.patch_embed:
            x = F.gelu(layer(x))
        return self.conv_exp(self.network(x)).flatten(2).transpose(1, 2)


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rope(x, theta):
    """x [batch, heads, tokens, dim]: halves (x1, x2) -> (x1 c - x2 s, x2 c + x1 s)."""
    half = x.shape[-1] // 2
    frequency = theta ** (-torch.arange(half, dtype=torch.float64, device=x.device) / half)
    angle = torch.arange(x.shape[2], dtype=torch.float64, device=x.device)[:, None] * frequency
    c, s = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    x1, x2 = x[..., :half], x[..., half:]
    return torch.cat([x1 * c - x2 * s, x2 * c + x1 * s], -1)


class SelfAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        h = c["hidden_size"]
        self.heads, self.kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.dim, self.theta = h // self.heads, c["rope_theta"]
        self.q_proj = nn.Linear(h, h)
        self.k_proj = nn.Linear(h, self.kv_heads * self.dim)
        self.v_proj = nn.Linear(h, self.kv_heads * self.dim)
        self.o_proj = nn.Linear(h, h, bias=False)

    def forward(self, x):
        b, t, h = x.shape

        def split(y, heads):
            return y.reshape(b, t, heads, self.dim).transpose(1, 2)
        q = rope(split(self.q_proj(x), self.heads), self.theta)
        k = rope(split(self.k_proj(x), self.kv_heads), self.theta)
        group = self.heads // self.kv_heads
        k, v = (y.repeat_interleave(group, 1) for y in (k, split(self.v_proj(x), self.kv_heads)))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(b, t, h))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, m = c["hidden_size"], c["intermediate_size"]
        self.gate_proj, self.up_proj = nn.Linear(h, m, bias=False), nn.Linear(h, m, bias=False)
        self.down_proj = nn.Linear(m, h, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = SelfAttention(c)
        self.post_attention_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = Mlp(c)

    def forward(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Holder(nn.Module):
    """Gives one module a name of its own in the path of its tensors."""

    def __init__(self, name, module):
        super().__init__()
        self.add_module(name, module)


class FastVlm(nn.Module):
    def __init__(self, config):
        super().__init__()
        c, vision = config, config["vision_config"]
        self.config = config
        self.model = nn.Module()
        self.model.vision_tower = Holder("vision_tower", Holder("model", FastViTHD(vision)))
        wide = vision["embed_dims"][-1] * vision["cls_ratio"]
        self.model.mm_projector = nn.Sequential(
            nn.Linear(wide, c["hidden_size"]), nn.GELU(), nn.Linear(c["hidden_size"], c["hidden_size"]))
        self.model.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        nn.init.normal_(self.model.embed_tokens.weight, std=0.05)
        self.model.layers = nn.ModuleList(DecoderLayer(c) for _ in range(c["num_hidden_layers"]))
        self.model.norm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])

    def encode(self, pixels):
        """pixels [batch, 3, S, S] in 0..1 -> [batch, image tokens, hidden]."""
        return self.model.mm_projector(self.model.vision_tower.vision_tower.model(pixels))

    def forward(self, features, before, after):
        """Logits [batch, tokens of `after`, vocabulary]: features [batch, image tokens, hidden] stand
        between the ids `before` [n] and `after` [batch, m]."""
        embed = self.model.embed_tokens
        start = embed(before).expand(len(after), -1, -1)
        x = torch.cat([start, features.to(start.dtype), embed(after)], 1)
        for layer in self.model.layers:
            x = layer(x)
        return self.model.norm(x[:, -after.shape[1]:]) @ embed.weight.t()

    def export(self, folder):
        """Writes config.json and model.safetensors in bfloat16."""
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump(self.config, f, indent=1)
        header, blobs, at = {}, [], 0
        for name, tensor in self.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            bits = tensor.detach().cpu().to(torch.bfloat16).contiguous().view(torch.int16).numpy()
            blob = bits.astype(np.int16).tobytes()
            header[name] = {"dtype": "BF16", "shape": list(tensor.shape),
                            "data_offsets": [at, at + len(blob)]}
            blobs.append(blob)
            at += len(blob)
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(folder, "model.safetensors"), "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
