"""Opening a SAELens SAE: from a folder, from this package, or from SAELens' registry."""

import json
import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from sae_lens import SAE, TrainingSAE
from sae_lens.loading.pretrained_sae_loaders import (
    get_sae_lens_config_from_disk,
    sparsify_disk_loader,
)
from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY
from safetensors import SafetensorError
from torch import Tensor

from relp_sae.catalogue import BUNDLED, releases
from relp_sae.errors import InputError
from relp_sae.models.pickles import PICKLES, pickle_advice
from relp_sae.registry import suggestion

CONFIG, WEIGHTS, SPARSIFY_WEIGHTS = "cfg.json", "sae_weights.safetensors", "sae.safetensors"

_CONVERSION = f"safetensors.torch.save_file(torch.load(FILE, weights_only=True), '{WEIGHTS}')"


@dataclass(frozen=True)
class Reading:
    """How weights are read: where to, as which type, and whether pickles may be opened."""

    device: str
    dtype: str
    allow_pickle: bool


def is_local(source: str) -> bool:
    """Is it something inside this package or on this disk?"""
    return source in BUNDLED or bool(source and Path(source).exists())


def open_sae(source: str, reading: Reading) -> SAE:
    """The SAE that ``source`` names, its weights finite.

    Raises:
        InputError: an unknown name, a file that is missing or cannot be read, a pickle that may
            not be opened, or a weight that is not a finite number.
    """
    sae = _read(source, _opener(source, reading))
    for name, weight in sae.state_dict().items():
        bad = int((~torch.isfinite(weight)).sum())
        if bad:
            raise InputError(
                f"{source}: {bad} of the {weight.numel()} numbers of {name} are not finite (NaN or "
                f"infinite) in {reading.dtype}, so nothing can be computed with it. Fetch or train "
                "it again; float16 weights may have overflowed when they were saved."
            )
    return sae


def _opener(source: str, reading: Reading) -> Callable[[], SAE]:
    """The way to open a source, chosen by what the source is."""
    if is_local(source):
        bundled = Path(str(files("relp_sae.saes") / "bundled" / source))
        return _from_folder(source, bundled if source in BUNDLED else Path(source), reading)
    return _from_registry(source, reading)


def _from_folder(source: str, path: Path, reading: Reading) -> Callable[[], SAE]:
    if path.is_file():
        advice = f" {pickle_advice(_CONVERSION)}" if path.suffix in PICKLES else ""
        raise InputError(
            f"{source} is a file; give the folder that holds {CONFIG} and {WEIGHTS}.{advice}"
        )
    _need(source, path, CONFIG)
    options: dict[str, Any] = {"device": reading.device, "dtype": reading.dtype}
    pickles = sorted(one for one in path.iterdir() if one.suffix in PICKLES)
    if (path / WEIGHTS).is_file():
        pass  # SAELens' own format
    elif (path / SPARSIFY_WEIGHTS).is_file():
        options["converter"] = sparsify_disk_loader
    elif pickles:
        if not reading.allow_pickle:
            raise InputError(
                f"{source} has no {WEIGHTS}, only {_names(pickles)}. {pickle_advice(_CONVERSION)}"
            )
        if len(pickles) > 1:
            raise InputError(
                f"{source} holds several pickles ({_names(pickles)}), and nothing says which is "
                "the SAE. Leave one there."
            )
        options["converter"] = _from_pickle
    else:
        _need(source, path, WEIGHTS)
    return lambda: _from_disk(path, options)


def _from_disk(path: Path, options: Mapping[str, Any]) -> SAE:
    """A folder's SAE; a checkpoint of a kind that only trains, as what training saves at its end.

    BatchTopK and Matryoshka SAEs are JumpReLU SAEs once they are trained.
    """
    architecture = json.loads((path / CONFIG).read_text(encoding="utf-8")).get("architecture")
    if architecture in SAE_CLASS_REGISTRY or architecture not in SAE_TRAINING_CLASS_REGISTRY:
        return SAE.load_from_disk(path, **options)
    with TemporaryDirectory() as finished:
        TrainingSAE.load_from_disk(path, **options).save_inference_model(finished)
        return SAE.load_from_disk(finished, device=options["device"], dtype=options["dtype"])


def _need(source: str, path: Path, name: str) -> None:
    if not (path / name).is_file():
        raise InputError(
            f"{source} is not a SAELens SAE: the folder has no {name}. A SAELens folder holds "
            f"{CONFIG} and {WEIGHTS}."
        )


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _from_pickle(
    path: str | Path, device: str = "cpu", cfg_overrides: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """As SAELens' disk loader, with the one pickle of a folder in the place of safetensors."""
    config = get_sae_lens_config_from_disk(path, device, cfg_overrides)
    (file,) = (one for one in Path(path).iterdir() if one.suffix in PICKLES)
    found = torch.load(file, map_location=device, weights_only=True)
    weights = found.get("state_dict", found) if isinstance(found, dict) else {}
    if not weights or not all(isinstance(one, Tensor) for one in weights.values()):
        raise InputError(f"{file} does not hold the weights of an SAE by name.")
    return config, weights


def _from_registry(source: str, reading: Reading) -> Callable[[], SAE]:
    name, _, sae_id = source.partition("/")
    if name not in releases():
        raise InputError(
            f"Unknown SAE '{source}'. {suggestion(name, [*BUNDLED, *releases()])}Give a bundled "
            f"name ({', '.join(BUNDLED)}), a SAELens folder, or RELEASE/ID of SAELens' registry "
            "(see: relp-sae list saes --model MODEL)."
        )
    release = releases()[name]
    if release.unusable:
        raise InputError(
            f"{source} cannot be used ({release.unusable}), and one feature's effect here is a row "
            "of its decoder at one site. Use an SAE or a transcoder of one layer "
            f"(see: relp-sae list saes --model {release.model})."
        )
    known = [one.id for one in release.saes]
    if sae_id not in known:
        raise InputError(
            f"Release {name} has no SAE '{sae_id}'. {suggestion(sae_id, known)}It has "
            f"{len(known)}, such as {', '.join(known[:3])} (see: relp-sae list saes --release "
            f"{name})."
        )
    if release.pickled and not reading.allow_pickle:
        raise InputError(
            f"{source}: the release {name} ({release.format}) is published as pickles. "
            f"{pickle_advice()}"
        )
    return lambda: SAE.from_pretrained(name, sae_id, device=reading.device, dtype=reading.dtype)


def _read(source: str, opener: Callable[[], SAE]) -> SAE:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # advice for TransformerLens users
            return opener()
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(
            f"Cannot read the SAE {source}: its pickle is damaged, or holds Python objects beside "
            "tensors, which could run any code when they are opened and are never read."
        ) from error
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"Cannot read the SAE {source}: {reason}") from error
    except Exception as error:  # SAELens takes a file's content on trust
        raise InputError(
            f"Cannot read the SAE {source}: its {CONFIG} or weights are not what SAELens "
            f"expects ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})."
        ) from error
