"""A GPU that is only pretended, on which waiting is an error: what runs on it keeps a real GPU busy.

A host waits for its GPU where it asks for a number (``item``, ``if tensor``), where a shape depends on numbers
(``nonzero``, a mask as an index), and where it copies, except to the GPU with ``non_blocking``. Then the GPU runs dry,
each time. The pretended GPU is torch's device "meta", whose tensors have shapes and no numbers, so that none is needed;
what is computed on the CPU is computed.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
_COPIES = {_aten._to_copy.default, _aten.copy_.default}
_ASKS = {  # for numbers, or for a shape that depends on them
    _aten._local_scalar_dense.default,
    _aten._linalg_check_errors.default,
    _aten.bincount.default,
    _aten.equal.default,
    _aten.histc.default,
    _aten.is_nonzero.default,
    _aten.masked_select.default,
    _aten.nonzero.default,
    _aten._unique2.default,
    _aten.unique_consecutive.default,
    _aten.unique_dim.default,
}
_INDEXES = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}


_OF_PYTHON = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}
_BRACKETS = {Tensor.__getitem__, Tensor.__setitem__}
_INSTEAD = "make them there (torch.full, torch.arange), or keep them there"


class WaitError(AssertionError):
    """The host would have waited for the GPU."""


@contextlib.contextmanager
def no_waits() -> Iterator[torch.device]:
    """Pretend a GPU, and yield it: modules and tensors can be moved to it (``non_blocking``), and made on it.

    There is no autocast on it: what would be computed in bf16 is computed in float32. Numbers must not be printed,
    which is no WaitError, but one of torch's.

    Raises:
        WaitError: inside, at the line that would wait.
    """
    autocast = torch.autocast

    def known(device_type: str, *args: Any, **kwargs: Any) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext() if device_type == "meta" else autocast(device_type, *args, **kwargs)

    with patch.object(torch, "autocast", known), _Pretended(), _Calls():  # type: ignore[no-untyped-call]
        yield torch.device("meta")


class _Calls(TorchFunctionMode):
    """Refuse what copies Python's numbers: of the device "meta" torch knows that it need not."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _OF_PYTHON:
            data = args[1] if func is Tensor.new_tensor else args[0]
            to = kwargs.get("device") or (args[0].device if func is Tensor.new_tensor else "cpu")
            if torch.device(to).type == "meta" and not isinstance(data, Tensor):
                raise WaitError(f"{func.__name__} waits for the GPU: it copies numbers of Python to it; {_INSTEAD}")
        elif func in _BRACKETS and args[0].is_meta:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(each, list) for each in index):
                raise WaitError(f"{func.__name__} waits for the GPU: it copies an index of Python to it")
        return func(*args, **kwargs)


class _Pretended(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(tensor.is_meta for tensor in given) or str(kwargs.get("device")) == "meta":
            _check(func, given, args, kwargs)
        try:
            return func(*args, **kwargs)
        except NotImplementedError as error:
            raise WaitError(f"{func} has no shape without numbers, so that it waits for the GPU: {error}") from None


def _check(func: Any, given: list[Tensor], args: Any, kwargs: Any) -> None:
    """Refuse what waits."""
    if func in _COPIES:
        to = args[0].device if func is _aten.copy_.default else torch.device(kwargs.get("device") or args[0].device)
        non_blocking = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
        if to.type != "meta":
            raise WaitError(f"{func} waits for the GPU: it copies numbers from it to the {to.type}")
        if not given[-1].is_meta and not non_blocking:
            raise WaitError(f"{func} waits for the GPU: it copies to it, and non_blocking is not set; {_INSTEAD}")
        return
    asks = func in _ASKS or (func is _aten.repeat_interleave.Tensor and kwargs.get("output_size") is None)
    if func in _INDEXES:
        masks = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        asks = masks and (func is _aten.index.Tensor or args[2].numel() != 1)  # one number fills where the mask is
    if asks:
        raise WaitError(f"{func} waits for numbers from the GPU")
    if any(tensor.ndim and not tensor.is_meta for tensor in given):  # single numbers go along with the kernel
        raise WaitError(f"{func} waits for the GPU: it takes a tensor of the CPU beside one of the GPU")
