"""A second device that a CPU pretends: what runs on it is strict about devices, as CUDA is.

Its tensors hold ordinary ones, on which every operation is done. Operations refuse tensors of two
devices but for what CUDA lets pass: copies, numbers without dimensions, and indices. PyTorch then
has an accelerator for the rest of the process, so this is for processes of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "npu"  # a device that safetensors has heard of

aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default}
TAKE_INDICES = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}


class OnAccelerator(torch.Tensor):
    """A tensor of that device; ``held`` is where its numbers are."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "OnAccelerator":
        found = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        found.held = held
        return found

    @classmethod
    def __torch_dispatch__(cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, *_args: Any, **_kwargs: Any) -> Any:
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy")

    __array__ = numpy


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {})


class _Made(TorchFunctionMode):
    """``torch.tensor`` builds where no mode is asked: this has it build on the CPU, and copies."""

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func not in (torch.tensor, torch.as_tensor, torch.asarray):
            return func(*args, **kwargs)
        device = kwargs.pop("device", None)
        made = func(*args, **kwargs)
        return made if device is None else made.to(device)


@contextmanager
def accelerator() -> Iterator[str]:
    """The name of the device, which works inside the context."""
    _register()
    with _Dispatch(), _Made():
        yield NAME


@cache
def _register() -> None:
    _setup_privateuseone_for_python_backend(NAME)


def _done(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    there = [one for one in given if isinstance(one, OnAccelerator)]
    if there and func not in COPIES:
        _require_one_device(func, args, given)
    asked = kwargs.get("device")
    if asked is not None and torch.device(asked).type == NAME:
        kwargs = {**kwargs, "device": torch.device("cpu")}
        wanted = True
    else:
        target = given[:1] if func is aten.copy_.default else there
        wanted = asked is None and any(isinstance(one, OnAccelerator) for one in target)
    args, kwargs = tree_map(_held, (args, kwargs))
    wrappers = {id(one.held): one for one in there}  # of what is changed in place

    def wrapped(one: Any) -> Any:
        if id(one) in wrappers:
            return wrappers[id(one)]
        return OnAccelerator(one) if wanted and isinstance(one, torch.Tensor) else one

    return tree_map(wrapped, func(*args, **kwargs))


def _held(one: Any) -> Any:
    return one.held if isinstance(one, OnAccelerator) else one


def _require_one_device(func: Any, args: Any, given: list[torch.Tensor]) -> None:
    indices = tree_leaves(args[1]) if func in TAKE_INDICES else []
    elsewhere = [
        one
        for one in given
        if not isinstance(one, OnAccelerator) and one.ndim and not any(one is i for i in indices)
    ]
    if elsewhere:
        where = [f"{tuple(one.shape)} on {one.device}" for one in given]
        raise RuntimeError(f"Expected all tensors to be on the same device: {func}, {where}")
