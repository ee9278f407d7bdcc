"""Tiny models, SAEs and prompt pairs that the tests of many rooms share.

Whatever asks for ``family`` (``model`` and ``paired_run`` do) runs on GPT-2 and on Llama; what asks
for ``any_family`` runs on every family that is declared (tests/families). A new family needs an
entry in TINY_CONFIGS below and nothing else.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported: no test uses the network

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

D_MODEL, N_LAYERS, N_HEADS = 32, 3, 4

_GPT_NEO = {
    **{"hidden_size": D_MODEL, "num_layers": N_LAYERS, "num_heads": N_HEADS, "window_size": 4},
    **{"attention_types": [[["global", "local"], 1], [["global"], 1]]},
    **{"max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0},
}
_GPT_NEOX = {
    **{"hidden_size": D_MODEL, "num_hidden_layers": N_LAYERS, "intermediate_size": 48},
    **{"num_attention_heads": N_HEADS, "max_position_embeddings": 64},
    **{"bos_token_id": 0, "eos_token_id": 0},
}
_LLAMA = {
    **{"hidden_size": D_MODEL, "num_hidden_layers": N_LAYERS, "intermediate_size": 48},
    **{"num_attention_heads": N_HEADS, "num_key_value_heads": 2, "rms_norm_eps": 1e-5},
    **{"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1, "max_position_embeddings": 64},
}
_WINDOW = {"sliding_window": 4}
_GEMMA = {**_LLAMA, "head_dim": 12}  # more in all heads together than the stream is wide
_GEMMA_3 = {
    **{**_GEMMA, **_WINDOW, "query_pre_attn_scalar": 12},
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
}
_EYES = {
    **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"intermediate_size": 16, "image_size": 28, "patch_size": 14},
}
TINY_CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {
        **{"n_embd": D_MODEL, "n_layer": N_LAYERS, "n_head": N_HEADS, "n_positions": 64},
        **{"bos_token_id": 0, "eos_token_id": 0},
    },
    "gpt_neo": _GPT_NEO,
    "gpt_neox": _GPT_NEOX,
    "llama": _LLAMA,
    "mistral": {**_LLAMA, **_WINDOW},
    "qwen2": _LLAMA,
    "qwen3": {**_LLAMA, "head_dim": 8},
    "gemma": _GEMMA,
    "gemma2": {**_GEMMA, **_WINDOW, "final_logit_softcapping": 20.0, "attn_logit_softcapping": 3.0},
    "gemma3_text": _GEMMA_3,
    "gemma3": {"text_config": _GEMMA_3, "vision_config": _EYES},
    "phi3": _LLAMA,
    "olmo2": _LLAMA,
}
"""Family -> what its configuration needs beside the vocabulary's size."""

FAMILIES = ("gpt2", "llama")
"""Those that every test of the maths runs on: LayerNorm and RMSNorm, plain and gated MLP."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that ask for ``family`` run on two, those that ask for ``any_family`` on every one."""
    from relp_sae.models.family import families

    for name, values in (("family", FAMILIES), ("any_family", list(families))):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values, scope="session")


def tiny_tokenizer():
    """One token a word with its leading space, over the words of the IOI task; BOS ``<s>`` = 0."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from relp_sae.tasks.ioi_words import NAMES, PLACES, TEMPLATES, THINGS

    frames = [t.format(first="", second="", giver="", place="", thing="") for t in TEMPLATES]
    split = pre_tokenizers.Split(Regex(r" ?\w+|[^\w\s]|\s"), "isolated")
    text = " ".join([*frames, *PLACES, *THINGS, *NAMES])
    found = {piece for piece, _ in split.pre_tokenize_str(" " + text)}
    starts = {template.split()[0].strip(",") for template in TEMPLATES}
    words = ["<s>", "<unk>", *sorted(found | starts)]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>", eos_token="<s>"
    )


@torch.no_grad()
def make_nonlinear(hf: torch.nn.Module, *, biases: bool = True, seed: int = 0) -> None:
    """Draw weights at which every nonlinearity matters: at the usual start they are near linear."""
    draw = torch.Generator().manual_seed(seed)
    for name, weight in hf.named_parameters():
        noise = torch.randn(weight.shape, generator=draw, dtype=torch.float32)
        if weight.ndim == 2:  # embeddings and projections
            table = "emb" in name or "wte" in name or "wpe" in name or "lm_head" in name
            weight.copy_(0.6 * noise if table else 1.5 * noise / max(weight.shape) ** 0.5)
        elif name.endswith("bias"):
            weight.copy_(0.3 * noise * biases)
        else:  # the weights of norms
            weight.copy_(1 + 0.3 * noise)


@pytest.fixture(scope="session")
def save_tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``save_tiny(family, biases=True, **config)``: a random model and tokenizer on disk."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tiny_tokenizer()

    def save(family: str, *, biases: bool = True, **config: Any) -> Path:
        folder = tmp_path_factory.mktemp(family)
        settings = {**TINY_CONFIGS.get(family, {}), "vocab_size": len(tokenizer), **config}
        if "text_config" in settings:
            settings["text_config"] = {**settings["text_config"], "vocab_size": len(tokenizer)}
        hf = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings))
        make_nonlinear(hf, biases=biases)
        hf.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def load_tiny(save_tiny: Callable[..., Path]) -> Callable[..., Any]:
    """``load_tiny(family, dtype="float32")``: the tiny model of a family, saved and loaded once."""
    from relp_sae.models import LanguageModel, load_model

    folders: dict[str, Path] = {}
    loaded: dict[tuple[str, str], LanguageModel] = {}

    def load(family: str, dtype: str = "float32") -> LanguageModel:
        if family not in folders:
            folders[family] = save_tiny(family)
        if (family, dtype) not in loaded:
            loaded[family, dtype] = load_model(str(folders[family]), dtype=dtype)
        return loaded[family, dtype]

    return load


@pytest.fixture(scope="session")
def textbook() -> SimpleNamespace:
    """The models' maths written out a second time: see textbook.py."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("textbook.py"))))


@pytest.fixture(scope="session")
def model(family: str, load_tiny: Callable[..., Any]) -> Any:
    """A tiny random model of each family in turn, float32; 3 layers, d_model 32."""
    return load_tiny(family)


@pytest.fixture(scope="session")
def model64(family: str, load_tiny: Callable[..., Any]) -> Any:
    """The same models in float64 (Llama's RMSNorm and softmax still pass through float32)."""
    return load_tiny(family, "float64")


@pytest.fixture(scope="session")
def gpt2_model(load_tiny: Callable[..., Any]) -> Any:
    """The tiny GPT-2 alone (LayerNorm, biases, tied unembedding), float32."""
    return load_tiny("gpt2")


@pytest.fixture(scope="session")
def llama_model(load_tiny: Callable[..., Any]) -> Any:
    """The tiny Llama alone (RMSNorm, grouped-query attention, SiLU gate, no bias), float32."""
    return load_tiny("llama")


class _Float64Throughout(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        kwargs = dict(kwargs or {})
        double = args and isinstance(args[0], torch.Tensor) and args[0].dtype == torch.float64
        if double and function is torch.Tensor.float:
            return args[0]
        if double and function is torch.Tensor.to and torch.float32 in (*args, *kwargs.values()):
            return args[0]
        if double and kwargs.get("dtype") == torch.float32:  # softmax
            kwargs["dtype"] = torch.float64
        return function(*args, **kwargs)


@pytest.fixture
def float64_throughout() -> Iterator[None]:
    """Hugging Face's models without their detours through float32, no part of the maths."""
    with _Float64Throughout():
        yield


@pytest.fixture(scope="session")
def sae_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``sae_folder(site="resid_pre.1", architecture="topk", **config)``: a SAELens SAE on disk."""
    import warnings

    from sae_lens.registry import get_sae_class
    from sae_lens.saes.sae import SAEMetadata

    from relp_sae.records import Site

    def save(
        site: str = "resid_pre.1", architecture: str = "topk", seed: int = 0, **config: Any
    ) -> Path:
        metadata = {
            "hook_name": Site.parse(site).hook_name,
            "model_name": "tiny",
            **config.pop("metadata", {}),
        }
        sae_class, config_class = get_sae_class(architecture)
        shape = {"d_in": D_MODEL, "d_sae": 64, **({"k": 8} if "topk" in architecture else {})}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # advice for TransformerLens users
            sae = sae_class(config_class(**{**shape, **config}, metadata=SAEMetadata(**metadata)))
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in sae.named_parameters():
                noise = torch.randn(weight.shape, generator=draw, dtype=torch.float32)
                weight.copy_(noise.abs() if name == "threshold" else 0.3 * noise)
        folder = tmp_path_factory.mktemp(f"sae-{architecture}")
        sae.save_model(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def transcoder_folder(sae_folder: Callable[..., Path]) -> Callable[..., Path]:
    """``transcoder_folder("mlp_in.1", "mlp_out.1", architecture="transcoder", **config)``."""
    from relp_sae.records import Site

    def save(reads: str, site: str, architecture: str = "transcoder", **config: Any) -> Path:
        metadata = {"hook_name_out": Site.parse(site).hook_name, **config.pop("metadata", {})}
        shape = {"d_out": D_MODEL, "apply_b_dec_to_input": False}
        return sae_folder(reads, architecture, metadata=metadata, **{**shape, **config})

    return save


@pytest.fixture(scope="session")
def pairs() -> list[Any]:
    """Three pairs of random ids behind BOS; they differ at one, two and all later positions.

    Lengths 7, 7 and 8, first changes at 2, 3 and 4; answer and foil are any two tokens.
    """
    from relp_sae.records import PromptPair

    draw = torch.Generator().manual_seed(1)

    def pair(length: int, changed: list[int]) -> PromptPair:
        tokens = torch.randint(2, 180, (2, length), generator=draw)
        clean = [0, *tokens[0, 1:].tolist()]
        corrupted = [
            token if at not in changed else (token + 1 + int(tokens[1, at]) % 99) % 180 + 2
            for at, token in enumerate(clean)
        ]
        answer, foil = torch.randperm(180, generator=draw)[:2].tolist()
        names = (f"clean of {length}", f"corrupted at {changed}")
        return PromptPair(*names, tuple(clean), tuple(corrupted), answer, foil)

    return [pair(7, [2]), pair(7, [3, 5]), pair(8, [4, 5, 6, 7])]


@pytest.fixture(scope="session")
def make_run(sae_folder: Callable[..., Path], pairs: list[Any]) -> Callable[..., Any]:
    """``make_run(model, "resid_pre.1", ...)``: a PairedRun with a TopK SAE at each of the sites.

    Answer and foil of every pair are the likeliest tokens of its two runs, so that no pair drops.
    """
    from dataclasses import replace

    from relp_sae.metrics import metrics
    from relp_sae.records import Site
    from relp_sae.run import PairedRun
    from relp_sae.saes import load_saes

    def preferring(model: Any, pair: Any) -> Any:
        with torch.no_grad():
            clean = model.last_logits(model.token_ids(pair.clean_ids))[0]
            corrupted = model.last_logits(model.token_ids(pair.corrupted_ids))[0]
        answer = int(clean.argmax())
        shift = corrupted - clean
        shift[answer] = -torch.inf
        return replace(pair, answer=answer, foil=int(shift.argmax()))

    def make(model: Any, *sites: str, metric: str = "logit_diff") -> PairedRun:
        dtype = str(model.dtype).removeprefix("torch.")
        folders = [
            sae_folder(site, seed=i, d_in=model.width(Site.parse(site)))
            for i, site in enumerate(sites or ["resid_pre.1"])
        ]
        dictionaries = load_saes([str(folder) for folder in folders], dtype=dtype)
        prepared = [preferring(model, pair) for pair in pairs]
        return PairedRun(model, dictionaries, prepared, metrics[metric])

    return make


@pytest.fixture(scope="session")
def paired_run(model: Any, make_run: Callable[..., Any]) -> Any:
    """A PairedRun of each family with a TopK SAE at resid_pre.1; the three pairs are all kept."""
    return make_run(model, "resid_pre.1")
