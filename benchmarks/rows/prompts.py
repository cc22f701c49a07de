"""Many prompts on one picture: CLIPSeg against transformers' usual way, on the same weights.

The usual way repeats the picture for every prompt. Weights are drawn at the size of
``rd64-refined`` on CLIP ViT-B/16 (``benchmarks.drawn``), since none may be downloaded; texts are
encoded by both, at their own lengths. Peak memory is that of a process of its own, above what it
held with the weights loaded.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.drawn import B16, clipseg_state, clipseg_to_transformers, vit_state
from benchmarks.rows.common import markdown

ABOUT = "20 prompts on one picture: CLIPSeg against transformers, the picture repeated 20 times"
NEEDS = ("package:transformers",)
SPEED = True
LAYERS = (3, 6, 9)
SIDE = 352
WORDS = (
    "a cat", "a dog", "a red car", "the sky", "a wooden table", "grass", "a person", "a tree",
    "a house", "the road", "a bicycle", "a glass of water", "a window", "a white wall", "shoes",
    "a horse", "a sheep", "the floor", "a chair", "a lamp",
)  # fmt: skip
RUNS = {1: 5}  # by prompts; 3 of others


def run(options: Namespace) -> dict[str, Any]:
    """Time both in this process; then measure the memory of each in one of its own."""
    ours, theirs = _ours(), _theirs()
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    out: dict[str, Any] = {"threads": torch.get_num_threads()}
    for count in (1, len(WORDS)):
        words = WORDS[:count]
        theirs(pixels, words[:1])
        wanted = got = ours(pixels, words)
        times: dict[str, list[tuple[float, float]]] = {"reference": [], "ours": []}
        for _ in range(RUNS.get(count, 3)):
            wanted, took = _timed(lambda w=words: theirs(pixels, w))  # type: ignore[misc]
            times["reference"].append(took)
            got, took = _timed(lambda w=words: ours(pixels, w))  # type: ignore[misc]
            times["ours"].append(took)
        out[str(count)] = {"difference": float((wanted - got).abs().max())}
        for name, took_by in times.items():
            wall, cpu = zip(*took_by, strict=True)
            out[str(count)] |= {
                f"{name}_s": statistics.median(wall), f"{name}_cpu_s": statistics.median(cpu)
            }  # fmt: skip
    out["memory"] = {name: _apart(name) for name in ("reference", "ours")}
    return out


def table(result: dict[str, Any]) -> str:
    """Return a line a number of prompts, and one of memory."""
    lines = [
        [
            f"{count} prompt{'s' if count != '1' else ''}",
            f"{one['reference_s']:.2f} s",
            f"{one['ours_s']:.2f} s",
            f"{one['reference_s'] / one['ours_s']:.1f}x",
            f"{one['reference_cpu_s'] / one['ours_cpu_s']:.1f}x",
            f"{one['difference']:.0e}",
        ]
        for count, one in ((c, result[c]) for c in ("1", str(len(WORDS))))
    ]
    peak = result["memory"]
    lines.append(
        [
            f"peak memory above the weights, {len(WORDS)} prompts",
            f"{peak['reference']:.0f} MB",
            f"{peak['ours']:.0f} MB",
            f"{peak['reference'] / max(peak['ours'], 1):.1f}x",
            "",
            "",
        ]
    )
    head = ["what", "transformers", "lexiseg", "less", "less CPU time", "logits differ by"]
    return (
        f"{markdown(head, lines)}\n\nfloat32, threads: {result['threads']}, medians, in turns. "
        "CPU time says the same as wall time where nothing else runs, and more where it does."
    )


def _timed(work: Callable[[], Tensor]) -> tuple[Tensor, tuple[float, float]]:
    """The result, and wall and CPU seconds."""
    started, busy = time.perf_counter(), time.process_time()
    result = work()
    return result, (time.perf_counter() - started, time.process_time() - busy)


def _weights() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    decoder = clipseg_state(
        64, refined=True, steps=3, width=B16.width, cond=B16.embed, cell=B16.patch, seed=5
    )
    return vit_state(B16, 3), decoder


def _ours() -> Callable[[Tensor, tuple[str, ...]], Tensor]:
    from lexiseg.checkpoints import IMAGENET_PIXELS
    from lexiseg.device import pick
    from lexiseg.models.clip.config import ClipConfig
    from lexiseg.models.clip.encoder import ClipEncoder
    from lexiseg.models.clip.model import Clip
    from lexiseg.models.clip.tokenizer import tokenizer
    from lexiseg.models.clipseg.config import DecoderConfig
    from lexiseg.models.clipseg.model import ClipSeg
    from lexiseg.models.clipseg.weights import fill

    state, decoder = _weights()
    compute = pick("cpu", "fp32")
    net = Clip.of(ClipConfig.of(state, "quick-gelu"), state)
    clip = ClipEncoder(net, tokenizer(), IMAGENET_PIXELS, compute, name="drawn", cache=False)
    config = DecoderConfig.of_state(decoder, LAYERS)
    model = ClipSeg(clip, fill(config, decoder, "drawn"), compute, name="drawn")

    def work(pixels: Tensor, words: tuple[str, ...]) -> Tensor:
        model._words.clear()  # texts are encoded anew each time, as theirs are
        with torch.inference_mode():
            return model.decoder(model.reduced(pixels), model.words(words))

    return work


def _theirs() -> Callable[[Tensor, tuple[str, ...]], Tensor]:
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    from lexiseg.models.clip.tokenizer import tokenise, tokenizer

    state, decoder = _weights()
    config = CLIPSegConfig(
        projection_dim=B16.embed, extract_layers=list(LAYERS), reduce_dim=64,
        use_complex_transposed_convolution=True,
        vision_config={
            "hidden_size": B16.width, "intermediate_size": 4 * B16.width,
            "num_hidden_layers": B16.layers, "num_attention_heads": B16.width // 64,
            "image_size": B16.image, "patch_size": B16.patch,
        },
        text_config={
            "hidden_size": B16.text_width, "intermediate_size": 4 * B16.text_width,
            "num_hidden_layers": B16.text_layers, "num_attention_heads": B16.text_width // 64,
            "eos_token_id": 49407,
        },
    )  # fmt: skip
    model = CLIPSegForImageSegmentation(config).eval()
    model.load_state_dict(clipseg_to_transformers(state, decoder), strict=True)
    table = tokenizer()

    def work(pixels: Tensor, words: tuple[str, ...]) -> Tensor:
        ids = tokenise(table, words, 77)
        longest = max(map(len, ids))
        padded = torch.tensor([[*one, *[49407] * (longest - len(one))] for one in ids])
        with torch.inference_mode():
            found = model(
                input_ids=padded, pixel_values=pixels.expand(len(words), -1, -1, -1).contiguous()
            )
        logits: Tensor = found.logits
        return logits.reshape(len(words), SIDE, SIDE)

    return work


def _apart(name: str) -> float:
    """The peak of a process of its own above its weights, in MB."""
    code = f"from benchmarks.rows import prompts; prompts.memory({name!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(json.loads(run.stdout.strip().splitlines()[-1]))


def memory(name: str) -> None:
    """Print the peak of one pass over all words above what was held before it, in MB."""
    import gc
    import threading

    work = {"ours": _ours, "reference": _theirs}[name]()
    pixels = torch.zeros(1, 3, SIDE, SIDE)
    gc.collect()
    before, done, peak = _resident(), threading.Event(), [0.0]

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    work(pixels, WORDS)
    done.set()
    watcher.join()
    print(json.dumps(max(peak[0], _resident()) - before))


def _resident() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6
