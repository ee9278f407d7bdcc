"""GPT-2 and Llama written out from their papers, in float64, with LRP rules by ``.detach()``.

The second source that the package is compared with: nothing here calls transformers' modules or
the package's rules. ``rules`` names the roles whose LRP rule acts (norm: LN, activation: Identity,
gate: Half, attention: AH); ``add`` is what to add at a site, by its name; ``seen`` collects every
site's activation after the addition.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

LRP = {"norm": "ln", "activation": "identity", "gate": "half", "attention": "ah"}
"""Role -> the one rule that is written out here."""


class Textbook:
    """One forward pass over a prompt (pos,): logits (pos, vocab)."""

    def __init__(self, hf: Any, rules: set[str], add: Mapping[str, Tensor]) -> None:
        self.weights = {name: w.double() for name, w in hf.state_dict().items()}
        self.config, self.rules, self.add = hf.config, rules, add
        self.seen: dict[str, Tensor] = {}

    def at(self, site: str, x: Tensor) -> Tensor:
        """x at a named point, after what is added there; without a name it is no site."""
        x = x + self.add[site] if site in self.add else x
        self.seen[site] = x
        return x

    def constant(self, role: str, x: Tensor) -> Tensor:
        return x.detach() if role in self.rules else x

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention of (head, pos, d_head), heads side by side in the output."""
        length = q.shape[1]
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(future, -math.inf)
        pattern = self.constant("attention", scores.softmax(-1))
        return (pattern @ v).transpose(0, 1).reshape(length, -1)

    def gpt2(self, ids: Tensor) -> Tensor:
        w, heads = self.weights, self.config.n_head
        x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][: len(ids)]

        def norm(x: Tensor, name: str, site: str = "") -> Tensor:
            centred = x - x.mean(-1, keepdim=True)
            deviation = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
            normalized = self.at(site, centred / self.constant("norm", deviation))
            return normalized * w[name + ".weight"] + w[name + ".bias"]

        def linear(x: Tensor, name: str) -> Tensor:
            return x @ w[name + ".weight"] + w[name + ".bias"]

        for layer in range(self.config.n_layer):
            block = f"transformer.h.{layer}."
            x = self.at(f"resid_pre.{layer}", x)
            qkv = linear(norm(x, block + "ln_1"), block + "attn.c_attn").chunk(3, -1)
            q, k, v = (part.unflatten(-1, (heads, -1)).transpose(0, 1) for part in qkv)
            z = self.at(f"z.{layer}", self.attend(q, k, v))
            attention = linear(z, block + "attn.c_proj")
            x = self.at(f"resid_mid.{layer}", x + self.at(f"attn_out.{layer}", attention))
            h = norm(x, block + "ln_2", f"mlp_normalized.{layer}")
            u = linear(self.at(f"mlp_in.{layer}", h), block + "mlp.c_fc")
            inner = math.sqrt(2 / math.pi) * (u + 0.044715 * u * u * u)
            u = u * self.constant("activation", (1 + inner.tanh()) / 2)
            mlp = self.at(f"mlp_out.{layer}", linear(u, block + "mlp.c_proj"))
            x = self.at(f"resid_post.{layer}", x + mlp)
        return norm(x, "transformer.ln_f") @ w["transformer.wte.weight"].T

    def llama(self, ids: Tensor) -> Tensor:
        w, config = self.weights, self.config
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
        x = w["model.embed_tokens.weight"][ids]

        def norm(x: Tensor, name: str, site: str = "") -> Tensor:
            root = (x.square().mean(-1, keepdim=True) + config.rms_norm_eps).sqrt()
            return self.at(site, x / self.constant("norm", root)) * w[name + ".weight"]

        def linear(x: Tensor, name: str) -> Tensor:
            return x @ w[name + ".weight"].T

        def rotated(x: Tensor) -> Tensor:
            half = x.shape[-1] // 2
            base = config.rope_parameters["rope_theta"]
            angle = torch.arange(len(ids)).double()[:, None] * base ** (
                -torch.arange(half).double() / half
            )
            first, second = x[..., :half], x[..., half:]
            return torch.cat(
                [
                    first * angle.cos() - second * angle.sin(),
                    second * angle.cos() + first * angle.sin(),
                ],
                -1,
            )

        for layer in range(config.num_hidden_layers):
            block = f"model.layers.{layer}."
            x = self.at(f"resid_pre.{layer}", x)
            h = norm(x, block + "input_layernorm")
            q, k, v = (
                linear(h, f"{block}self_attn.{part}_proj").unflatten(-1, (n, -1)).transpose(0, 1)
                for part, n in {"q": heads, "k": kv_heads, "v": kv_heads}.items()
            )
            group = heads // kv_heads
            k, v = rotated(k).repeat_interleave(group, 0), v.repeat_interleave(group, 0)
            z = self.at(f"z.{layer}", self.attend(rotated(q), k, v))
            attention = linear(z, block + "self_attn.o_proj")
            x = self.at(f"resid_mid.{layer}", x + self.at(f"attn_out.{layer}", attention))
            h = norm(x, block + "post_attention_layernorm", f"mlp_normalized.{layer}")
            h = self.at(f"mlp_in.{layer}", h)
            gate = linear(h, block + "mlp.gate_proj")
            gate = gate * self.constant("activation", 1 / (1 + (-gate).exp()))
            product = gate * linear(h, block + "mlp.up_proj")
            if "gate" in self.rules:  # each branch keeps half of its slope
                product = product / 2 + product.detach() / 2
            mlp = self.at(f"mlp_out.{layer}", linear(product, block + "mlp.down_proj"))
            x = self.at(f"resid_post.{layer}", x + mlp)
        return linear(norm(x, "model.norm"), "lm_head")


FORWARD: dict[str, Callable[[Textbook, Tensor], Tensor]] = {
    "gpt2": Textbook.gpt2,
    "llama": Textbook.llama,
}
"""Family -> its forward pass; a new family is written out here as well."""


def forward(
    hf: Any, ids: Tensor, rules: set[str] | None = None, add: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits (pos, vocab) of one prompt, and every site's activation (pos, width)."""
    book = Textbook(hf, rules or set(), add or {})
    assert hf.config.model_type in FORWARD, "write the family's forward pass out in textbook.py"
    logits = FORWARD[hf.config.model_type](book, ids)
    return logits, book.seen
