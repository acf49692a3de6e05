"""FastVLM in PyTorch at any size, with the tensor names of the released checkpoints.

All convolutions are in their re-parameterised form, as released; only ConvFFN has a BatchNorm. Feature
maps are [batch, channels, height, width], sequences [batch, tokens, hidden].
"""

import json
import math
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
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

EMBEDDING_STD = 0.1  # of embeddings before training


def preprocess(image, size):
    """Centred on a black square, then resized: [size, size, 3] bytes."""
    side = max(image.size)
    square = Image.new("RGB", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square.resize((size, size), Image.BICUBIC))


class Convolution(nn.Conv2d):
    def __init__(self, channels_in, channels_out, kernel, stride=1, groups=1, bias=True):
        super().__init__(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=bias)

    def forward(self, x):
        if self.groups == 1:
            return super().forward(x)
        # A grouped convolution as PyTorch's CPU finds its gradients fastest: in float32, and with the
        # channels repeated where there are several filters for each.
        several = self.out_channels // self.groups
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if several > 1:
                x = x.repeat_interleave(several, 1)
            return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, groups=self.out_channels)


class Reparam(nn.Module):
    """A convolution under the name that re-parameterised blocks have in a checkpoint."""

    def __init__(self, *args, name="reparam_conv", skip=False, **kwargs):
        super().__init__()
        self.name = name
        layer = Convolution(*args, **kwargs)
        if skip:  # begins as the identity: the skip is folded into the middle of the filter
            with torch.no_grad():
                layer.weight.mul_(0.1)
                layer.weight[:, 0, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] += 1
        self.add_module(name, layer)

    def forward(self, x):
        return getattr(self, self.name)(x)


class ConvBn(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = Convolution(channels, channels, 7, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.bn(self.conv(x))


class ConvFfn(nn.Module):
    def __init__(self, channels, ratio):
        super().__init__()
        self.conv = ConvBn(channels)
        self.fc1 = Convolution(channels, channels * ratio, 1)
        self.fc2 = Convolution(channels * ratio, channels, 1)

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
        out = (q @ k.transpose(2, 3) / math.sqrt(self.head_dim)).softmax(-1).to(v.dtype) @ v
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
        self.reduce = Convolution(channels, int(channels * ratio), 1)
        self.expand = Convolution(int(channels * ratio), channels, 1)

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


def rotations(positions, dim, theta):
    """Cosines and sines [tokens, dim / 2] for rope()."""
    half = dim // 2
    frequency = theta ** (-torch.arange(half, dtype=torch.float64, device=positions.device) / half)
    angle = positions.double()[:, None] * frequency
    return angle.cos().float(), angle.sin().float()


def rope(x, rotation):
    """x [batch, heads, tokens, dim]: halves (x1, x2) -> (x1 c - x2 s, x2 c + x1 s)."""
    c, s = (y.to(x.dtype) for y in rotation)
    x1, x2 = x.chunk(2, -1)
    return torch.cat([x1 * c - x2 * s, x2 * c + x1 * s], -1)


class SelfAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        h = c["hidden_size"]
        self.heads, self.kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.dim = h // self.heads
        self.q_proj = nn.Linear(h, h)
        self.k_proj = nn.Linear(h, self.kv_heads * self.dim)
        self.v_proj = nn.Linear(h, self.kv_heads * self.dim)
        self.o_proj = nn.Linear(h, h, bias=False)

    def forward(self, x, rotation, mask):
        b, t, h = x.shape

        def split(y, heads):
            return y.reshape(b, t, heads, self.dim).transpose(1, 2)
        q = rope(split(self.q_proj(x), self.heads), rotation)
        k = rope(split(self.k_proj(x), self.kv_heads), rotation)
        v = split(self.v_proj(x), self.kv_heads)
        # The query heads that share a kv head stand below each other.
        q = q.reshape(b, self.kv_heads, -1, self.dim)
        scores = (q @ k.transpose(2, 3) / math.sqrt(self.dim)).unflatten(2, (-1, t)) + mask
        out = scores.softmax(-1).to(v.dtype).flatten(2, 3) @ v
        return self.o_proj(out.reshape(b, self.heads, t, self.dim).transpose(1, 2).reshape(b, t, h))


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

    def forward(self, x, rotation, mask):
        x = x + self.self_attn(self.input_layernorm(x), rotation, mask)
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
        nn.init.normal_(self.model.embed_tokens.weight, std=EMBEDDING_STD)
        self.model.layers = nn.ModuleList(DecoderLayer(c) for _ in range(c["num_hidden_layers"]))
        self.model.norm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        for layer in self.model.layers:  # what is added to the embeddings must not drown them
            for added in (layer.self_attn.o_proj, layer.mlp.down_proj):
                added.weight.data.mul_(1 / math.sqrt(2 * c["num_hidden_layers"]))

    @torch.no_grad()
    def calibrate(self, pixels):
        """Before training: scales every convolution of the encoder and the projector so that its
        outputs for `pixels` [batch, 3, S, S] have mean 0 and variance 1 in each channel. The
        BatchNorms of the not re-parameterised form do this; without them, random filters let the
        differences between images fade to nothing on their way through thirty layers."""
        def whiten(layer, _, out):
            axes = [i for i in range(out.ndim) if i != out.ndim + layer.channel_axis]
            out = out.float()
            std = out.std(axes) + 1e-6
            layer.weight.div_(std.reshape(-1, *[1] * (layer.weight.ndim - 1)))
            if layer.bias is None:
                return None
            layer.bias.copy_((layer.bias - out.mean(axes)) / std)
            shape = [-1] + [1] * (-layer.channel_axis - 1)
            return (out - out.mean(axes).reshape(shape)) / std.reshape(shape)
        hooks = []
        for layer in self.model.modules():
            if isinstance(layer, Convolution):
                layer.channel_axis = -3
                hooks.append(layer.register_forward_hook(whiten))
        for layer in (self.model.mm_projector[0], self.model.mm_projector[2]):
            layer.channel_axis = -1
            hooks.append(layer.register_forward_hook(whiten))
        self.encode(pixels)
        for hook in hooks:
            hook.remove()
        last = self.model.mm_projector[2]  # features come as large as embeddings
        last.weight.mul_(EMBEDDING_STD)
        last.bias.mul_(EMBEDDING_STD)

    def encode(self, pixels):
        """pixels [batch, 3, S, S] in 0..1 -> [batch, image tokens, hidden]."""
        return self.model.mm_projector(self.model.vision_tower.vision_tower.model(pixels))

    def forward(self, features, before, after):
        """Logits [batch, questions, tokens, vocabulary] of several questions about each image:
        features [batch, image tokens, hidden] stand between the ids `before` [n] and `after` [batch,
        questions, tokens]. A question sees what stands before it and itself, not the others."""
        c, embed = self.config, self.model.embed_tokens
        batch, questions, tokens = after.shape
        start = embed(before).expand(batch, -1, -1)
        x = torch.cat([start, features.to(start.dtype), embed(after.flatten(1))], 1)
        common = x.shape[1] - questions * tokens
        own = torch.arange(questions * tokens, device=x.device)
        position = torch.cat([torch.arange(common, device=x.device), common + own % tokens])
        part = torch.cat([torch.full((common,), -1, device=x.device), own // tokens])
        sees = (position[:, None] >= position) & ((part[:, None] == part) | (part == -1))
        mask = torch.zeros(sees.shape, device=x.device).masked_fill(~sees, -math.inf)
        rotation = rotations(position, c["hidden_size"] // c["num_attention_heads"], c["rope_theta"])
        for layer in self.model.layers:
            x = layer(x, rotation, mask)
        logits = self.model.norm(x[:, common:]) @ embed.weight.t()
        return logits.unflatten(1, (questions, tokens))

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

    @staticmethod
    def load(folder):
        """The model that `export` wrote, in float32, for use."""
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            model = FastVlm(json.load(f))
        with open(os.path.join(folder, "model.safetensors"), "rb") as f:
            header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
            data = bytearray(f.read())
        state = {}
        for name, entry in header.items():
            first, end = entry["data_offsets"]
            state[name] = torch.frombuffer(data[first:end], dtype=torch.bfloat16).float().view(entry["shape"])
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
        return model.eval()
