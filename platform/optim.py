"""Optimisers and the learning rate over time.

The peak learning rate is ``learning_rate`` times the scaling rule's factor: 1 for "none", batch_size / 256 for "linear"
(Goyal et al. 2017, arXiv:1706.02677, sec. 2.1), its square root for "sqrt" (SimCLR, app. B.1, writes it as
0.075 sqrt(batch), which is 1.2 at 256). It rises linearly over the warm-up and then follows half a cosine to zero,
falls in two steps (MoCo v1: to a tenth at 120 and again at 160 of 200 epochs), or stays. It is a function of the step
alone, so there is no scheduler state to keep.

Differs from the authors' code: the first of w steps of warm-up has 1 / w of the peak, as in lightly, where SimCLR, MAE
and MoCo v3 start from 0, and DINO reaches the peak a step earlier. LARS multiplies by the learning rate after the
momentum, as torch's SGD and all ports to torch do; SimCLR's code does before, so that a falling rate lags by some nine
steps. MoCo's ``main_moco.py`` decays biases and norms too.
"""

import functools
import inspect
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from pydantic import Field
from torch import _compile, nn

from unlabeled.platform.errors import UserError
from unlabeled.platform.settings import Variant

REFERENCE_BATCH = 256
STEPS = (0.6, 0.8)  # shares of all steps after which the schedule "steps" takes a tenth


class Group:
    """Parameters of a method that train otherwise than the rest: at a rate of their own, or without decay.

    Attributes:
        parameters: those of them that take a gradient; what does not is left out, as everywhere.
        rate: what the learning rate is multiplied by, above 0.
        decay: false keeps weight decay, and LARS's adaptation, from all of them; true decays what is decayed anyway.

    Raises:
        ValueError: the rate is not above 0. What is not to be trained at all has ``requires_grad_(False)``.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float = 1.0, decay: bool = True) -> None:
        if not 0.0 < rate < math.inf:
            raise ValueError(f"a group's rate is above 0, got {rate}; what should stay has requires_grad_(False)")
        self.parameters, self.rate, self.decay = tuple(parameters), rate, decay


class OptimizerConfig(Variant):
    """What all optimisers share.

    Attributes:
        learning_rate: peak learning rate at the reference batch of 256.
        scaling: how the peak grows with the global batch.
        weight_decay: on weights of two or more dimensions; biases and norms have none, nor have a ViT's class token,
            positions and whatever else its model names in ``no_weight_decay()``.
        warmup_epochs: length of the linear rise; may be a fraction.
        schedule: what follows the warm-up.
        clip_norm: largest norm of all gradients together; None does not clip.
    """

    group = "unlabeled.optimizers"
    learning_rate: float = Field(gt=0.0)
    scaling: Literal["none", "linear", "sqrt"] = "none"
    weight_decay: float = Field(default=0.0, ge=0.0)
    warmup_epochs: float = Field(default=0.0, ge=0.0)
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    clip_norm: float | None = Field(default=None, gt=0.0)

    @abstractmethod
    def build(self, module: nn.Module, groups: Sequence[Group] = ()) -> torch.optim.Optimizer:
        """Make the optimiser of the module's trainable parameters.

        Its groups are those that train as usual, the decayed and the undecayed; then, in the same way, those of each of
        ``groups``. Each has its ``rate``, by which whoever sets its learning rate multiplies it.

        Raises:
            UserError: a parameter is in two groups, or is none of the module's.
        """

    def learning_rate_at(self, step: int, steps_per_epoch: int, total_steps: int, batch_size: int) -> float:
        """Return the learning rate of the 0-based ``step``.

        >>> rule = AdamW(learning_rate=1.0, warmup_epochs=1)
        >>> [round(rule.learning_rate_at(step, 2, 6, 256), 3) for step in range(6)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
        """
        ratio = batch_size / REFERENCE_BATCH
        peak = self.learning_rate * {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.scaling]
        warmup_steps = self.warmup_epochs * steps_per_epoch
        if step < warmup_steps:
            return peak * min(1.0, (step + 1) / warmup_steps)
        if self.schedule == "constant":
            return peak
        if self.schedule == "steps":
            return float(peak * 0.1 ** sum(step >= share * total_steps for share in STEPS))
        progress = (step - warmup_steps) / max(1.0, total_steps - warmup_steps)
        return peak * 0.5 * (1.0 + math.cos(math.pi * progress))

    def _groups(self, module: nn.Module, groups: Sequence[Group]) -> list[dict[str, Any]]:
        check_groups(groups, module)
        names = {parameter: name for name, parameter in module.named_parameters()}
        special = {parameter for group in groups for parameter in group.parameters}
        usual = Group(parameter for parameter in names if parameter not in special)
        spared, found = undecayed(module), []
        for group in (usual, *groups):
            kept = [parameter for parameter in group.parameters if parameter.requires_grad]
            decayed = [parameter for parameter in kept if group.decay and names[parameter] not in spared]
            others = [parameter for parameter in kept if not group.decay or names[parameter] in spared]
            for parameters, weight_decay in ((decayed, self.weight_decay), (others, 0.0)):
                if parameters or group is usual:
                    found.append(
                        {
                            "params": parameters,
                            "weight_decay": weight_decay,
                            "lr": self.learning_rate * group.rate,
                            "rate": group.rate,
                            "decays": parameters is decayed,
                        }
                    )
        return found


def check_groups(groups: Sequence[Group], module: nn.Module) -> None:
    """Check that no parameter is in two groups, and that all are a module's.

    Raises:
        UserError: one is not so.
    """
    names = {parameter: name for name, parameter in module.named_parameters()}
    counts = Counter(parameter for group in groups for parameter in dict.fromkeys(group.parameters))
    if strange := sum(parameter not in names for parameter in counts):
        raise UserError(f"{strange} parameters of a method's groups are none of its own; name those of its parts")
    if twice := [names[parameter] for parameter, count in counts.items() if count > 1]:
        raise UserError(f"{twice[0]} is in two of its method's groups; leave it in one")


def undecayed(module: nn.Module) -> set[str]:
    """Name the parameters that weight decay and LARS leave alone.

    Those of one dimension or none (norms), biases of any shape, and those that a module inside names in timm's
    ``no_weight_decay()``, which may be patterns: ``pos_embed``, ``cls_token``.
    """
    spared = {
        name
        for name, parameter in module.named_parameters()
        if parameter.ndim <= 1 or "bias" in name.rpartition(".")[2]
    }
    for path, inner in module.named_modules():
        patterns: set[str] = getattr(inner, "no_weight_decay", set)()
        names = [name for name, _ in inner.named_parameters()] if patterns else []
        spared |= {
            f"{path}.{name}" if path else name
            for name in names
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        }
    return spared


@functools.cache
def without_compiler(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return an optimiser of torch that does the same and imports no compiler, which takes a second and 150 MB.

    torch imports it to tell it, should it be at work, what to leave alone: at an optimiser's first step, and in methods
    that are told here, before they ask, that there is nothing to tell. Where torch asks otherwise, it imports it.
    """
    for method in vars(torch.optim.Optimizer).values():
        inner, code = getattr(method, "__wrapped__", None), getattr(method, "__code__", None)
        if inner is not None and code is not None and code.co_filename == _compile.__file__:
            inner.__dict__.setdefault("__dynamo_disable", inner)
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {"step": step})


class SGD(OptimizerConfig):
    """Stochastic gradient descent with momentum; decay is added to the gradient."""

    name = "sgd"
    learning_rate: float = Field(default=0.03, gt=0.0)
    weight_decay: float = Field(default=1e-4, ge=0.0)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)

    def build(self, module: nn.Module, groups: Sequence[Group] = ()) -> torch.optim.Optimizer:
        """Make torch's SGD."""
        kind = without_compiler(torch.optim.SGD)
        return kind(self._groups(module, groups), lr=self.learning_rate, momentum=self.momentum)


class AdamW(OptimizerConfig):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    name = "adamw"
    learning_rate: float = Field(default=2e-3, gt=0.0)
    weight_decay: float = Field(default=1e-4, ge=0.0)
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, module: nn.Module, groups: Sequence[Group] = ()) -> torch.optim.Optimizer:
        """Make torch's AdamW in its fused form."""
        kind = without_compiler(torch.optim.AdamW)
        return kind(self._groups(module, groups), lr=self.learning_rate, betas=self.betas, fused=True)


class LARS(OptimizerConfig):
    """Layer-wise adaptive rate scaling (You et al. 2017, arXiv:1708.03888), of what is decayed only."""

    name = "lars"
    learning_rate: float = Field(default=0.3, gt=0.0)  # SimCLR, sec. 2.2: 0.3 x batch / 256
    scaling: Literal["none", "linear", "sqrt"] = "linear"
    weight_decay: float = Field(default=1e-6, ge=0.0)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)

    def build(self, module: nn.Module, groups: Sequence[Group] = ()) -> torch.optim.Optimizer:
        """Make timm's Lars, adapting only the weights that are decayed."""
        from timm.optim.lars import Lars  # here, because it takes seconds to import

        parts = [{**part, "always_adapt": part["decays"]} for part in self._groups(module, groups)]
        optimizer: torch.optim.Optimizer = Lars(parts, lr=self.learning_rate, momentum=self.momentum)
        return optimizer
