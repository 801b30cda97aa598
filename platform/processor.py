"""The processor that a run computes on: its device, its number format, its memory layout."""

import ctypes
import functools
import gc
import platform
import re
import resource
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from unlabeled.platform.errors import UserError

Precision = Literal["auto", "bf16", "fp32"]

_PROC = Path("/proc")  # missing, or without some of its files, on some systems
# What torch says that CUDA, HIP and their libraries found; the first of these has a class of its own, in most places.
_OF_ACCELERATOR = re.compile(r"CUDA error|HIP error|device-side assert|CUBLAS_|CUDNN_|CUSOLVER_|CUSPARSE_|CUFFT_|NCCL")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


class Processor:
    """A device with the format that it computes in.

    Attributes:
        device: where tensors live.
        precision: "bf16" (autocast: weights stay float32) or "fp32", as resolved from what was asked.
    """

    def __init__(self, device: torch.device, precision: Precision = "auto") -> None:
        self.device, self._share = device, 1.0
        self.precision = precision if precision != "auto" else "bf16" if has_fast_bf16(device.type) else "fp32"

    @classmethod
    def here(cls, precision: Precision = "auto", gpus: float | None = None) -> "Processor":
        """Take the GPU that this process may see, or the CPU.

        Args:
            precision: number format.
            gpus: 0 takes the CPU, 1 a GPU, less no more of a GPU's memory than this share; None a GPU if there is one.

        Raises:
            UserError: a GPU was asked for, and torch has none here.
        """
        keep_freed_memory()
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # fp32 is 32 bits everywhere
        found = gpus != 0 and torch.cuda.is_available()
        if gpus and not found:
            raise UserError(
                "a GPU was asked for, and torch finds none here: it is built for CPUs, or the driver is missing; "
                "mend that, or ask for 0 of them"
            )
        if gpus and gpus < 1:
            torch.cuda.set_per_process_memory_fraction(gpus)  # else one run could take what is the others'
        made = cls(torch.device("cuda" if found else "cpu"), precision)
        made._share = min(1.0, gpus or 1.0)
        return made

    @property
    def name(self) -> str:
        """The processor's model name."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else _cpu_name()

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in bf16 where that is the precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def put(self, x: Tensor) -> Tensor:
        """Move a tensor to the device, without waiting where memory is pinned."""
        return x.to(self.device, non_blocking=True)

    @property
    def room_for_data(self) -> int:
        """How many bytes of pictures may live on the device: an eighth of what a run may take of a GPU.

        On a CPU they lie beside it in any case.
        """
        if self.device.type != "cuda":
            return 0
        return int(torch.cuda.get_device_properties(self.device).total_memory * self._share / 8)

    def pinned(self, x: Tensor) -> Tensor:
        """Return it in memory that a GPU takes from without anybody waiting; on a CPU as it is."""
        return x.pin_memory() if self.device.type == "cuda" else x

    def layout(self, x: Tensor) -> Tensor:
        """Lay pictures [B, C, H, W] out channels last, which convolutions here are fastest on.

        Clips [B, T, C, H, W] are laid out so that their frames, flattened into a batch, are; sounds stay as they are.
        """
        if x.ndim == 5:
            return x.flatten(0, 1).contiguous(memory_format=torch.channels_last).view(x.shape)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.contiguous()

    def memory_mb(self) -> float | None:
        """Return the memory in use, MB: of a GPU's tensors, or of the whole process. None where it can't be known."""
        if self.device.type == "cuda":
            return torch.cuda.memory_allocated(self.device) / 1e6
        return _of_process("VmRSS")

    def peak_memory_mb(self) -> float:
        """Return the most memory used since :meth:`forget_peak`, MB: of a GPU's tensors, or of the whole process.

        Where a process's peak can't be forgotten, it is that since the process began.
        """
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e6
        peak = _of_process("VmHWM")
        if peak is not None:
            return peak
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6

    def forget_peak(self) -> bool:
        """Start a new measurement of peak memory, without what was freed before: a process serves several runs.

        Returns:
            Whether it could be: not every system lets a process forget it.
        """
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return True
        give_back_freed_memory()
        try:
            (_PROC / "self/clear_refs").write_text("5")
        except OSError:
            return False
        return _of_process("VmHWM") is not None


def breaks_process(error: BaseException) -> bool:
    """Tell whether nothing more can be computed on this process's GPU after an error, or what led to it.

    All that is asked of a GPU after such an error ends with it again, until the process ends. Want of memory is none.

    >>> breaks_process(RuntimeError("CUDA error: device-side assert triggered"))
    True
    >>> breaks_process(torch.OutOfMemoryError("CUDA out of memory"))
    False
    """
    seen: BaseException | None = error
    while seen is not None:
        is_known = isinstance(seen, RuntimeError) and _OF_ACCELERATOR.search(str(seen)) is not None
        if isinstance(seen, torch.AcceleratorError) or (is_known and not isinstance(seen, torch.OutOfMemoryError)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def forget_gpu_memory() -> None:
    """Give back what this process keeps of a GPU's memory without using it: another run, or process, may have it."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()
        torch.cuda.empty_cache()


def precision_here(gpus: float | None = None) -> Literal["bf16", "fp32"]:
    """Return what "auto" takes in this process, with ``gpus`` as in :meth:`Processor.here`."""
    kind = "cuda" if gpus != 0 and torch.cuda.is_available() else "cpu"
    return "bf16" if has_fast_bf16(kind) else "fp32"


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep the blocks that a training step frees, for the next step to take: fewer page faults."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_THRESHOLD, 2**30)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Let glibc return what it kept to the system, so that it doesn't count as memory of what comes next."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)


def _of_process(what: str) -> float | None:
    """Return a line of /proc/self/status, MB; None where there is no such file or line, as in some sandboxes."""
    for line in _read(_PROC / "self/status").splitlines():
        name, _, value = line.partition(":")
        if name == what and value.split()[:1]:
            return int(value.split()[0]) * 1024 / 1e6
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@functools.cache
def has_fast_bf16(device_type: str) -> bool:
    """Tell whether bf16 is faster than float32 here: on a CPU without AVX512-BF16 or AMX it is emulated. Asked once.

    Reads the processor's flags where the system lists them, and otherwise says no.
    """
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device_type != "cpu":
        return False
    flags = _read(_PROC / "cpuinfo")
    return "avx512_bf16" in flags or "amx_bf16" in flags


@functools.cache
def _cpu_name() -> str:
    for line in _read(_PROC / "cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
