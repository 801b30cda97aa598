"""Training through encoders that torch's compiler made, where that was asked for.

Compiled is what maps pixels to features, and nothing else: tensors go in and come out, step after step the same.
Draws, targets and what workers tell each other are Python that changes with each step, and would be compiled anew.
Outside of a step encoders are what they were, so that what is measured, saved and drawn knows of no compiler.

Sums are added in another order, and in bf16 what is rounded between two operations may not be: numbers differ by
rounding, as they do between two processors.
"""

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn

from unlabeled.platform.collective import world_size
from unlabeled.platform.collective.batch_norm import SyncBatchNorm
from unlabeled.platform.data.threads import on_this_thread
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError

BACKEND = "inductor"  # torch's own compiler, which needs one of C++, or Triton and a GPU

_SHAPES = 64  # ways to call an encoder that are compiled; more are computed as they are without

_backend: ContextVar[str | None] = ContextVar("backend", default=None)

logger = logging.getLogger(__name__)


def compiling(backend: str | None) -> contextlib.AbstractContextManager[None]:
    """Let runs on this thread train through compiled encoders, by one of torch's backends; None through plain ones."""
    return on_this_thread(_backend, backend)


class CompiledEncoders:
    """The encoders of a method, which are compiled for as long as :meth:`in_use` lasts."""

    def __init__(self, method: nn.Module) -> None:
        """Take what :func:`compiling` says now; what is compiled is compiled when it is first called."""
        self._instead: list[tuple[nn.Module, str, Any]] = []
        self.backend = _backend.get()
        if self.backend is None:
            return
        from torch._dynamo import config  # here, because it takes seconds to import

        # Of each function, in all runs of the process: other sizes of views, micro-batches, copies without gradient.
        config.recompile_limit = max(config.recompile_limit, _SHAPES)
        for module in method.modules():
            if isinstance(module, Encoder):
                for name in module.compiled:
                    made = torch.compile(getattr(module, name), backend=self.backend)
                    self._instead.append((module, name, made))
            elif isinstance(module, SyncBatchNorm) and world_size() > 1:
                # Workers meet in it, by ways that torch's compiler does not know.
                self._instead.append((module, "forward", torch.compiler.disable(module.forward)))  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the encoders be the compiled ones meanwhile.

        Raises:
            UserError: there is no compiler here, or it can't compile one.
        """
        if not self._instead:
            yield
            return
        from torch._dynamo.exc import BackendCompilerFailed

        for module, name, made in self._instead:
            setattr(module, name, made)  # before the class's own
        try:
            yield
        except BackendCompilerFailed as error:
            raise UserError(
                f"--compile: torch can't compile the encoder here ({_reason(error)}); install a C++ compiler such as "
                "g++ (beside a GPU, Triton), or leave --compile out"
            ) from error
        finally:
            for module, name, _ in self._instead:
                delattr(module, name)


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(getattr(error, "inner_exception", error)).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")[:200]
