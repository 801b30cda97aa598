"""Which point comes next, and which trial is hopeless: Optuna's samplers and pruners by name."""

from typing import Literal

from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, NSGAIISampler, RandomSampler, TPESampler

from unlabeled.platform.errors import UserError
from unlabeled.platform.search.declared import Search
from unlabeled.platform.search.space import Choice, Integer, LogUniform, Uniform

SamplerName = Literal["tpe", "random", "cmaes", "nsga2"]
PrunerName = Literal["asha", "median", "none"]

FIRST_RUNG = 1  # epochs that every trial may train
REDUCTION = 2  # the best half of a rung goes on to twice its epochs


def check_sampler(sampler: SamplerName, search: Search) -> None:
    """Check that a sampler can serve a search.

    Raises:
        UserError: CMA-ES can't: it wants several numbers, no choices, and one objective.
    """
    if sampler != "cmaes":
        return
    for path, dimension in search.space.items():
        if not isinstance(dimension, Uniform | LogUniform | Integer):
            what = "a choice" if isinstance(dimension, Choice) else "a composition"
            raise UserError(f"cmaes searches numbers only, and {path} is {what}; use --sampler tpe, random or nsga2")
    if len(search.space) < 2:
        raise UserError(f"cmaes needs two numbers or more, and {search.name} has one; use --sampler tpe or random")
    if search.second:
        raise UserError("cmaes has one objective, and the search has two; use --sampler tpe, random or nsga2")


def check_pruner(pruner: PrunerName, search: Search) -> None:
    """Check that trials of a search may be pruned.

    Raises:
        UserError: it has two objectives: a trial that is behind in one may be ahead in the other.
    """
    if pruner != "none" and search.second:
        raise UserError(
            f"--pruner {pruner} stops trials by {search.prune_on}, but {search.name} weighs it against "
            f"{search.second.metric}: what is behind in one may be ahead in the other; use --pruner none"
        )


def make_pruner(name: PrunerName) -> BasePruner:
    """Make Optuna's pruner; its state is the trials of the store."""
    if name == "asha":
        return SuccessiveHalvingPruner(min_resource=FIRST_RUNG, reduction_factor=REDUCTION)
    if name == "median":
        return MedianPruner(n_startup_trials=4, n_warmup_steps=FIRST_RUNG)
    return NopPruner()


def make_sampler(name: SamplerName, seed: int, trials: int) -> BaseSampler:
    """Make Optuna's sampler; its state is the trials of the store, too."""
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "cmaes":
        return CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if name == "nsga2":
        return NSGAIISampler(seed=seed, population_size=max(4, min(50, trials // 4)))
    return TPESampler(seed=seed)
