"""Modules of transformers, filled from files in its own layout, or refused."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from lexiseg.device import Compute
from lexiseg.errors import CheckpointError, ExtraMissing

__all__ = ["load_pretrained"]


def load_pretrained(
    class_name: str,
    folder: Path,
    compute: Compute,
    *,
    extra: str,
    unused: Collection[str] = (),
) -> Any:
    """Return ``transformers.<class_name>`` with the weights in ``folder``, ready to compute.

    folder: config.json and model.safetensors. Nothing is fetched. extra: what of lexiseg to
    install where transformers or what it wants is missing. unused: beginnings of names that may be
    missing from the file, since nothing here runs them.

    Raises ExtraMissing, and CheckpointError where a weight is missing: it would be random.
    """
    try:
        import transformers

        model_class = getattr(transformers, class_name)
        with _quiet(transformers):
            model, info = model_class.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, dtype=compute.dtype,
                use_safetensors=True,
            )  # fmt: skip
    except ImportError as error:
        raise ExtraMissing(
            f"{class_name} needs transformers with all that it asks for ({error}); "
            f"pip install 'lexiseg[{extra}]'"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise CheckpointError(
            f"{folder} does not hold a {class_name} as transformers saves it ({first}); "
            "pull the checkpoint again"
        ) from error
    missing = sorted(k for k in info["missing_keys"] if not k.startswith(tuple(unused)))
    wrong = sorted(str(k) for k in info.get("mismatched_keys", ()))
    if missing or wrong:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} weights of {class_name} and has {len(wrong)} of "
            f"another shape (first: {(missing + wrong)[0]}); pull the checkpoint again"
        )
    return model.eval().requires_grad_(False).to(compute.device)


class _quiet:
    """transformers reports loading on stderr; what matters of it is raised above."""

    def __init__(self, transformers: Any) -> None:
        self._logging = transformers.utils.logging

    def __enter__(self) -> None:
        self._level = self._logging.get_verbosity()
        self._bar = self._logging.is_progress_bar_enabled()
        self._logging.set_verbosity_error()
        self._logging.disable_progress_bar()

    def __exit__(self, *error: object) -> None:
        self._logging.set_verbosity(self._level)
        if self._bar:
            self._logging.enable_progress_bar()
