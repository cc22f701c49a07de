"""Inpainting pipelines of diffusers behind one protocol: Stable Diffusion, SDXL, FLUX fill."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, generator
from lexiseg.errors import CheckpointError, ExtraMissing, OptionError, PromptError

__all__ = ["Diffusion", "build_inpainter", "check_memory", "device_memory"]

# Pipeline -> whether it takes a negative prompt.
_PIPELINES = {
    "StableDiffusionInpaintPipeline": True,
    "StableDiffusionXLInpaintPipeline": True,
    "FluxFillPipeline": False,
}
_MEMORY_SHARE = 0.8  # weights beyond this part of a memory leave no room to compute


def build_inpainter(checkpoint: Checkpoint, compute: Compute) -> Diffusion:
    """Build the pipeline that the checkpoint's model_index.json names.

    Raises ExtraMissing, CheckpointError for partial weights, and OptionError where the device has
    too little memory.
    """
    index = checkpoint["model_index.json"]
    kind = str(json.loads(index.read_text("utf-8")).get("_class_name", ""))
    if kind not in _PIPELINES:
        raise CheckpointError(
            f"{checkpoint.record.name!r} is a {kind or 'folder without a pipeline'}; of diffusers, "
            f"{', '.join(_PIPELINES)} are read"
        )
    weights = _bytes(checkpoint)
    check_memory(checkpoint.record.name, weights, compute)
    pipeline = _load(kind, index.parent, checkpoint, compute)
    _check_complete(pipeline, index.parent)
    _place(pipeline, weights, compute)
    return Diffusion(pipeline, checkpoint, compute, negative=_PIPELINES[kind])


class Diffusion:
    """One pipeline; see `protocols.Inpainter`.

    A safety checker that comes with a checkpoint runs, and a picture that it flags is refused.
    """

    generative = True

    def __init__(
        self, pipeline: Any, checkpoint: Checkpoint, compute: Compute, *, negative: bool
    ) -> None:
        self.pipeline = pipeline
        pipeline.set_progress_bar_config(disable=True)
        self.name = checkpoint.record.name
        self.side: int | None = checkpoint.record.preprocessing.size or 512
        self.multiple = int(2 * pipeline.vae_scale_factor)
        self.device_name, self.dtype_name = compute.device_name, compute.dtype_name
        self.sha256 = checkpoint.sha256
        self.takes_negative = negative

    def fill(
        self,
        rgb: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        words: str,
        *,
        strength: float = 1.0,
        steps: int = 50,
        guidance: float = 7.5,
        negative: str = "",
        seeds: Sequence[int] = (0,),
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.uint8]:
        """Return a picture a seed, (B, H, W, 3) uint8, with what the words say in the mask.

        The same seed gives the same picture, whatever other seeds stand beside it.
        """
        from PIL import Image

        height, width = mask.shape
        if negative and not self.takes_negative:
            raise OptionError(f"{self.name} takes no negative prompt; leave it out")
        options: dict[str, Any] = (
            {"negative_prompt": negative or None} if self.takes_negative else {}
        )
        steps_each = max(1, int(steps * strength))
        made = []
        # One by one: in a batch, a seed's picture would depend on the first one's random numbers.
        for number, seed in enumerate(seeds):
            if progress is not None:
                before = number * steps_each

                def tell(
                    _: Any, step: int, __: Any, values: dict[str, Any], before: int = before
                ) -> dict[str, Any]:
                    progress(before + step + 1, steps_each * len(seeds))
                    return values

                options["callback_on_step_end"] = tell
            with torch.inference_mode(), _quiet():
                found = self.pipeline(
                    prompt=words,
                    image=Image.fromarray(rgb),
                    mask_image=Image.fromarray(mask.astype(np.uint8) * 255),
                    height=height,
                    width=width,
                    strength=strength,
                    num_inference_steps=steps,
                    guidance_scale=guidance,
                    generator=generator(seed),
                    output_type="np",
                    **options,
                )
            if any(getattr(found, "nsfw_content_detected", None) or ()):
                raise PromptError(
                    f"the safety checker of {self.name} refused what was made of {words!r}; use "
                    "other words, or another seed"
                )
            made.append(np.asarray(found.images[0], np.float32))
        out = np.rint(np.clip(np.stack(made), 0, 1) * 255)
        return out.astype(np.uint8)


@contextmanager
def _quiet() -> Iterator[None]:
    """diffusers reports on stderr; what matters of it is raised."""
    import diffusers

    logging = diffusers.utils.logging
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # names that older versions need
            yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _load(kind: str, folder: Path, checkpoint: Checkpoint, compute: Compute) -> Any:
    try:
        import diffusers

        found = getattr(diffusers, kind)
    except (ImportError, RuntimeError) as error:  # diffusers wraps what its parts lack
        raise ExtraMissing(
            f"{checkpoint.record.name} needs diffusers with all that it asks for ({error}); "
            "pip install 'lexiseg[edit]'"
        ) from error
    half = any(".fp16." in file.name for file in checkpoint.record.files)
    try:
        with _quiet():
            return found.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                torch_dtype=compute.dtype,
                **({"variant": "fp16"} if half else {}),
            )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        first = " ".join(str(error).split())[:200] or repr(error)
        raise CheckpointError(
            f"{folder} does not hold a {kind} as diffusers saves it ({first}); pull the "
            "checkpoint again"
        ) from error


def _check_complete(pipeline: Any, folder: Path) -> None:
    """Raise CheckpointError where a network has a weight that no file gave: it would be random."""
    from safetensors import safe_open

    for name, network in pipeline.components.items():
        files = sorted((folder / name).glob("*.safetensors"))
        if not isinstance(network, torch.nn.Module) or not files:
            continue
        given: dict[str, tuple[int, ...]] = {}
        for file in files:
            with safe_open(str(file), "pt") as held:
                given |= {key: tuple(held.get_slice(key).get_shape()) for key in held.keys()}  # noqa: SIM118
        # transformers may name a tower with or without its prefix.
        ends = {key.rpartition("text_model.")[2]: shape for key, shape in given.items()}
        lacking = [
            key
            for key, value in network.named_parameters()
            if ends.get(key.rpartition("text_model.")[2]) != tuple(value.shape)
            and not key.startswith("shared")
            and "embed_tokens" not in key
        ]
        if lacking:
            raise CheckpointError(
                f"{folder / name} lacks {len(lacking)} weights of the pipeline, or has them in "
                f"another shape (first: {lacking[0]}); pull the checkpoint again"
            )


def _place(pipeline: Any, weights: int, compute: Compute) -> None:
    """Put the networks where they compute; a GPU that is too small holds one after the other."""
    vae = getattr(pipeline, "vae", None)
    if vae is not None and hasattr(vae, "enable_slicing"):
        vae.enable_slicing()  # several seeds are decoded one by one
    if compute.device.type == "cuda" and weights > _MEMORY_SHARE * device_memory(compute):
        pipeline.enable_model_cpu_offload(device=compute.device)
        return
    pipeline.to(compute.device)


def check_memory(name: str, weights: int, compute: Compute) -> None:
    """Raise OptionError where the weights do not fit into the memory of a machine without a GPU."""
    if compute.device.type == "cuda" or weights <= _MEMORY_SHARE * device_memory(compute):
        return
    raise OptionError(
        f"{name} has {weights / 1e9:.1f} GB of weights, and this machine "
        f"{device_memory(compute) / 1e9:.1f} GB of memory and no GPU in use; it needs a GPU "
        "(--device cuda), or choose a smaller --model"
    )


def _bytes(checkpoint: Checkpoint) -> int:
    """What the weights take on disk."""
    paths = [path for path in checkpoint.paths.values() if path.suffix == ".safetensors"]
    return sum(path.stat().st_size for path in paths if path.is_file())


def device_memory(compute: Compute) -> int:
    """Return the memory of the device that computes, in bytes."""
    if compute.device.type == "cuda":
        return int(torch.cuda.mem_get_info(compute.device)[1])
    if not hasattr(os, "sysconf"):
        return 1 << 62  # not known: let it try
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
