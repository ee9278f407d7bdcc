"""Published SAEs: what this package holds, and SAELens' registry read offline, without SAELens.

Importing SAELens takes seconds, and its registry is one YAML file beside its code. What that file
does not say of an SAE (where it reads, how wide it is) is told here from its format and its name,
as SAELens' own loaders do.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Any

import yaml

from relp_sae.errors import InputError
from relp_sae.records.site import Site

BUNDLED = {
    "smollm2-135m-topk": "smollm2-135m",
    "smollm2-135m-standard": "smollm2-135m",
}
"""SAEs inside this package, folders in ``relp_sae/saes/bundled``: name -> model."""

PICKLED = ("connor_rob_hook_z", "deepseek_r1", "dictionary_learning_1", "goodfire", "qwen_scope")
"""Formats of the registry whose weights are pickles."""

_HOOKS: dict[str, tuple[tuple[str, str], ...]] = {
    "deepseek_r1": ((r"", "hook_resid_post"),),
    "dictionary_learning_1": ((r"", "hook_resid_post"),),
    "gemma_2": ((r"-res/", "hook_resid_post"), (r"-mlp/", "hook_mlp_out"), (r"-att/", "hook_z")),
    "gemma_2_transcoder": ((r"", "ln2.hook_normalized"),),
    "gemma_3": (
        (r"/resid_post", "hook_resid_post"),
        (r"/attn_out", "hook_z"),
        (r"/mlp_out", "hook_mlp_out"),
        (r"/(transcoder|clt)", "hook_mlp_in"),
    ),
    "goodfire": ((r"", "hook_resid_post"),),
    "llama_scope": (
        (r"L\d+R", "hook_resid_post"),
        (r"L\d+A", "hook_attn_out"),
        (r"L\d+M", "hook_mlp_out"),
    ),
    "mwhanna_transcoder": ((r"", "mlp.hook_in"),),
    "qwen_scope": ((r"", "hook_resid_post"),),
}
"""Format -> (pattern in REPOSITORY/PATH, hook), the first that is found; others are in files."""
_HOOKS["llama_scope_r1_distill"] = _HOOKS["llama_scope"]

_NAMED_HOOK = re.compile(r"blocks\.\d+\.(?:\w+\.)*?hook_[a-z]+(?:_[a-z]+)*")
_LAYER = re.compile(r"layer_?(\d+)|^l(\d+)[a-z]_")
_WIDTH = re.compile(
    r"width[_-](?P<a>\w+?)(?=[_/-]|$)|-w(?P<b>\d+k)-|-v5-(?P<c>\d+k)|hook_resid_[a-z]+_(?P<d>\d+)$"
)


@dataclass(frozen=True)
class PublishedSae:
    """One SAE of a release; what is not known offline is empty or None."""

    id: str
    hook_name: str
    width: str
    l0: float | None

    @property
    def site(self) -> str:
        """Our name of its site, or its hook's name where we have none."""
        try:
            return str(Site.parse(self.hook_name))
        except InputError:
            return self.hook_name


@dataclass(frozen=True)
class Release:
    """SAEs that were published together, for one model."""

    name: str
    model: str
    format: str
    saes: tuple[PublishedSae, ...]

    @property
    def pickled(self) -> bool:
        """Are its weights pickles?"""
        return self.format in PICKLED

    @property
    def transcoders(self) -> bool:
        """Does it map one site to another?"""
        return "transcoder" in f"{self.name} {self.format}"

    @property
    def unusable(self) -> str:
        """Why no SAE of it can be used here, in a few words; empty if they can."""
        if "clt" in re.split(r"[^a-z]", f"{self.name} {self.format}"):
            return "cross-layer: a feature writes at all later layers"
        return "no linear decoder" if self.format == "temporal" else ""


_OTHER_NAMES = {
    "gpt2-small": "gpt2",
    "gpt-neo-small": "gpt-neo-125m",
    "mistral-7b": "mistral-7b-v0.1",
    "mistral-7b-instruct": "mistral-7b-instruct-v0.1",
    "olmo-2-1b": "olmo-2-0425-1b",
    "olmo-2-7b": "olmo-2-1124-7b",
    "phi-3": "phi-3-mini-4k-instruct",
    "pythia": "pythia-70m",
    "smollm2-135m": "smollm2-135m-instruct",  # the embedded model
}
"""Names of TransformerLens and of this package -> the last part of the Hub's name."""


def model_key(name: str) -> str:
    """What the names of one model have in common: how names of models are compared everywhere.

    The last part of the name, in lower case, without the ``meta-`` and the ``-hf`` that some
    names of Llama have; where TransformerLens has a name of its own, the Hub's instead.

    >>> model_key("google/gemma-2-2b") == model_key("gemma-2-2b")
    True
    >>> model_key("gpt2-small") == model_key("openai-community/gpt2")
    True
    """
    lower = name.lower()
    last = PurePath(lower).name.removeprefix("meta-").removesuffix("-hf")
    return _OTHER_NAMES.get(lower, last)


@cache
def releases() -> Mapping[str, Release]:
    """SAELens' registry, by the name of the release."""
    spec = find_spec("sae_lens")
    assert spec is not None
    assert spec.origin is not None
    text = (Path(spec.origin).parent / "pretrained_saes.yaml").read_text(encoding="utf-8")
    content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {name: _release(name, entry) for name, entry in content.items()}


def _release(name: str, entry: Mapping[str, Any]) -> Release:
    form = entry.get("conversion_func") or "sae_lens"
    override = (entry.get("config_overrides") or {}).get("hook_name", "")
    return Release(
        name,
        entry["model"],
        form,
        tuple(
            PublishedSae(
                one["id"],
                override or _hook_name(form, one["id"], f"{entry['repo_id']}/{one['path']}"),
                _width(name, one["id"]),
                float(one["l0"]) if one.get("l0") else None,
            )
            for one in entry["saes"]
        ),
    )


def _hook_name(form: str, sae_id: str, where: str) -> str:
    if sae_id.startswith("embedding/"):
        return "hook_embed"
    named = _NAMED_HOOK.match(sae_id)
    if named is not None:
        return re.sub(r"\.hook_z$", ".attn.hook_z", named[0])
    layer = _LAYER.search(sae_id)
    hook = next((hook for part, hook in _HOOKS.get(form, ()) if re.search(part, where)), "")
    if layer is None or not hook:
        return ""
    return f"blocks.{layer[1] or layer[2]}.{'attn.hook_z' if hook == 'hook_z' else hook}"


def _width(release: str, sae_id: str) -> str:
    found = _WIDTH.search(sae_id) or _WIDTH.search(release)
    width = next(filter(None, found.groups()), "") if found else ""
    return re.sub(r"^2pow(\d+)$", lambda power: str(2 ** int(power[1])), width)
