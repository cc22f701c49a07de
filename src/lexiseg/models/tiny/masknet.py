"""The mask network of the bundled masker: what a click or a box means, on the encoder's own maps.

What does not depend on a prompt is computed once a picture. A prompt then costs a small
convolutional net on a grid of stride 8, which sees how alike every place is to the clicked ones,
how far it lies from them, the box, and an earlier answer; and a thin one at stride 4 for the
outline. Three candidates answer a prompt (part, whole, larger), each with its expected IoU, as in
SAM (Kirillov et al. 2023, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CANDIDATES", "Maps", "MaskNet", "MaskNetConfig", "Pointers", "dilated_depthwise"]

CANDIDATES = 3
_SIGMAS = (0.03, 0.12)  # of the clicks' blobs, in parts of the short side
_INPUTS_BESIDE_KEYS = 2 * len(_SIGMAS) + 2 + 3 + 1


@dataclass(frozen=True)
class MaskNetConfig:
    """Widths; stored beside the weights."""

    decoded_dim: int = 96
    backbone_dim: int = 24
    shared_dim: int = 96
    groups: int = 8
    key_dim: int = 12
    dim: int = 40
    mlp: int = 80
    dilations: tuple[int, ...] = (1, 2, 4, 1)
    fine_dim: int = 24


@dataclass(frozen=True, eq=False)
class Maps:
    """A picture, as prompts meet it: shared (h, w, S), what it gives to every prompt's map, spread
    (h, w, C), and keys (h, w, G, d) at stride 8, detail (2h, 2w, F) at stride 4."""

    shared: Tensor
    spread: Tensor
    keys: Tensor
    detail: Tensor


@dataclass(frozen=True, eq=False)
class Pointers:
    """N prompts in parts of the grid: x and y from 0 to 1.

    points_xy: (N, P, 2). labels: (N, P): 1 on the thing, 0 beside it, -1 padding.
    boxes_xyxy: (N, 4). has_box: (N,) bool. earlier: (N, 2h, 2w) logits. has_earlier: (N,) bool.
    clicked: whether each has a click on the thing; None: to be found out. with_negatives,
    with_boxes: whether any may have one; what none has is not computed.
    """

    points_xy: Tensor
    labels: Tensor
    boxes_xyxy: Tensor
    has_box: Tensor
    earlier: Tensor | None = None
    has_earlier: Tensor | None = None
    clicked: bool | None = None
    with_negatives: bool = True
    with_boxes: bool = True

    def __len__(self) -> int:
        return len(self.points_xy)

    def __getitem__(self, key: slice) -> Pointers:
        names = ("points_xy", "labels", "boxes_xyxy", "has_box", "earlier", "has_earlier")
        parts = {name: getattr(self, name) for name in names}
        return replace(self, **{k: part[key] for k, part in parts.items() if part is not None})


class _Block(nn.Module):
    """Depthwise (dilated), norm, wide and narrow pointwise, residual; channels last."""

    def __init__(self, dim: int, mlp: int, kernel: int, dilation: int) -> None:
        super().__init__()
        reach = dilation * (kernel // 2)
        self.depthwise = nn.Conv2d(dim, dim, kernel, padding=reach, dilation=dilation, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, mlp)
        self.down = nn.Linear(mlp, dim)

    def forward(self, x: Tensor) -> Tensor:
        y = dilated_depthwise(self.depthwise, x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        out: Tensor = self.down(F.gelu(self.up(self.norm(y))))
        out += x
        return out


def dilated_depthwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Return a depthwise convolution of (N, C, h, w), as ``conv`` gives it.

    oneDNN has no fast kernel for a 5x5 one of dilation 4: it takes 20 times as long as dilation 2.
    So every second row and column are convolved by themselves, with half the dilation.
    """
    dilation, reach = conv.dilation[0], int(conv.padding[0])
    if reach < 8 or dilation % 2:
        out: Tensor = conv(x)
        return out
    n, c, h, w = x.shape
    x = F.pad(x, (0, w % 2, 0, h % 2))
    rows, columns = x.shape[2] // 2, x.shape[3] // 2
    phases = x.reshape(n, c, rows, 2, columns, 2).permute(0, 3, 5, 2, 4, 1)
    parts = phases.reshape(n * 4, rows, columns, c).permute(0, 3, 1, 2)  # channels last
    made = F.conv2d(
        parts, conv.weight, conv.bias, padding=reach // 2, dilation=dilation // 2, groups=c
    )
    joined = made.permute(0, 2, 3, 1).reshape(n, 2, 2, rows, columns, c).permute(0, 3, 1, 4, 2, 5)
    return joined.reshape(n, 2 * rows, 2 * columns, c)[:, :h, :w].permute(0, 3, 1, 2)


class MaskNet(nn.Module):
    """The encoder's maps once a picture; then any number of prompts."""

    def __init__(self, config: MaskNetConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or MaskNetConfig()
        self.near = nn.Linear(c.decoded_dim, c.shared_dim)
        self.near_block = _Block(c.shared_dim, 2 * c.shared_dim, 5, 1)
        self.keys = nn.Linear(c.shared_dim, c.groups * c.key_dim)
        self.detail = nn.Linear(c.decoded_dim + c.backbone_dim, c.fine_dim)
        self.spread = nn.Linear(c.shared_dim, c.dim)
        self.maps = nn.Linear(2 * c.groups + _INPUTS_BESIDE_KEYS, c.dim)
        self.gist = nn.Sequential(
            nn.Linear(2 * c.shared_dim + 6, 2 * c.dim), nn.GELU(), nn.Linear(2 * c.dim, c.dim)
        )
        self.blocks = nn.ModuleList(_Block(c.dim, c.mlp, 5, d) for d in c.dilations)
        self.gaze = nn.Linear(c.dim, 1)
        self.seen = nn.Linear(c.dim, c.dim)
        self.rise = nn.Linear(c.dim, c.fine_dim)
        self.outline = _Block(c.fine_dim, 2 * c.fine_dim, 3, 1)
        self.masks = nn.Linear(c.fine_dim, CANDIDATES)
        self.judge = nn.Sequential(nn.Linear(2 * c.dim + 2, c.dim), nn.GELU(), nn.Linear(c.dim, 1))

    def prepare(self, decoded: Tensor, backbone: Tensor) -> list[Maps]:
        """Decoded places (B, 2h, 2w, C) and the backbone's map at stride 4, (B, c, 2h, 2w)."""
        c = self.config
        both = torch.cat([decoded, backbone.permute(0, 2, 3, 1)], -1)
        pooled = F.avg_pool2d(decoded.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        shared = self.near_block(self.near(pooled))
        keys = F.normalize(self.keys(shared).unflatten(-1, (c.groups, c.key_dim)), dim=-1)
        made = (shared, self.spread(shared), keys, self.detail(both))
        return [Maps(*parts) for parts in zip(*made, strict=True)]

    def forward(self, maps: Maps, asked: Pointers) -> tuple[Tensor, Tensor]:
        """Return logits (N, 3, 2h, 2w) and the expected IoU as a logit, (N, 3)."""
        h, w = maps.shared.shape[:2]
        inputs, gist = self._inputs(maps, asked)
        x = self._mapped(inputs)
        x += maps.spread
        x += self.gist(gist)[:, None, None]
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == len(self.blocks) // 2 - 1:  # what matters anywhere is told everywhere
                weight = self.gaze(x).flatten(1, 2).softmax(1)
                x = x + self.seen((x.flatten(1, 2) * weight).sum(1))[:, None, None]
        y = F.interpolate(
            self.rise(x).permute(0, 3, 1, 2), (2 * h, 2 * w), mode="bilinear", align_corners=False
        ).permute(0, 2, 3, 1)
        y = self.outline(F.gelu(y + maps.detail))
        logits = self.masks(y).permute(0, 3, 1, 2)
        return logits, self._quality(x, logits)

    def _mapped(self, inputs: Sequence[Tensor | int]) -> Tensor:
        """The first linear map of inputs (N, h, w, c); of those that are 0 only c is given."""
        weights, given, start = [], [], 0
        for part in inputs:
            width = part if isinstance(part, int) else part.shape[-1]
            if not isinstance(part, int):
                weights.append(self.maps.weight[:, start : start + width])
                given.append(part)
            start += width
        return F.linear(torch.cat(given, -1), torch.cat(weights, 1), self.maps.bias)

    def _inputs(self, maps: Maps, asked: Pointers) -> tuple[list[Tensor | int], Tensor]:
        h, w, groups, _ = maps.keys.shape
        on, off = asked.labels == 1, asked.labels == 0
        points = asked.points_xy
        clicked = asked.clicked
        if not (bool(on.any(1).all()) if clicked is None else clicked):
            # A box without a click on the thing is asked as if its middle had been clicked.
            middle = (asked.boxes_xyxy[:, :2] + asked.boxes_xyxy[:, 2:]) / 2
            points = torch.cat([points, middle[:, None]], 1)
            on = torch.cat([on, ~on.any(1, keepdim=True)], 1)
            off = F.pad(off, (0, 1))
        keys = _at(maps.keys.flatten(2), points)
        keys = keys.view(*keys.shape[:2], groups, -1)  # (N, P, G, d)
        alike = torch.einsum("npgd,hwgd->nphwg", F.normalize(keys, dim=-1), maps.keys)
        parts: list[Tensor | int] = [_best(alike, on)]
        parts.append(_best(alike, off) if asked.with_negatives else groups)

        ys = (torch.arange(h, device=points.device) + 0.5) / h
        xs = (torch.arange(w, device=points.device) + 0.5) / w
        short = min(h, w)
        dx = (xs - points[..., :1]) * (w / short)  # (N, P, w), in short sides
        dy = (ys - points[..., 1:]) * (h / short)
        square = dy.square()[..., :, None] + dx.square()[..., None, :]
        for sigma in _SIGMAS:
            blobs = torch.exp(-square / (2 * sigma**2))[..., None]
            parts += [_best(blobs, on), _best(blobs, off) if asked.with_negatives else 1]
        first = on.float().argmax(1)
        rows = torch.arange(len(points), device=points.device)
        parts.append(dy[rows, first][:, :, None].expand(-1, h, w)[..., None].clamp(-2, 2))
        parts.append(dx[rows, first][:, None, :].expand(-1, h, w)[..., None].clamp(-2, 2))

        x0, y0, x1, y1 = asked.boxes_xyxy.unbind(1)
        if asked.with_boxes:
            across = torch.minimum(xs - x0[:, None], x1[:, None] - xs) * (w / short)
            down = torch.minimum(ys - y0[:, None], y1[:, None] - ys) * (h / short)
            edge = torch.minimum(down[:, :, None], across[:, None, :])
            has_box = asked.has_box[:, None, None].float()
            parts.append((torch.sigmoid(edge * short) * has_box)[..., None])
            parts.append((edge.clamp(-0.5, 0.5) * has_box)[..., None])
            parts.append(has_box.expand(-1, h, w)[..., None])
        else:
            parts.append(3)

        flag = maps.shared.new_zeros(len(points))
        if asked.earlier is not None and asked.has_earlier is not None:
            flag = asked.has_earlier.float()
            earlier = F.avg_pool2d(asked.earlier.sigmoid()[:, None], 2)[:, 0] - 0.5
            parts.append((earlier * flag[:, None, None])[..., None])
        else:
            parts.append(1)

        touched = _at(maps.shared, points)
        weight = on.float()[..., None]
        touched = (touched * weight).sum(1) / weight.sum(1)
        whole = maps.shared.mean((0, 1)).expand_as(touched)
        sides = torch.stack([x1 - x0, y1 - y0], 1) * asked.has_box[:, None]
        numbers = torch.stack(
            [asked.has_box.float(), off.any(1).float(), flag, on.sum(1).float() / 3], 1
        )
        return parts, torch.cat([touched, whole, sides, numbers], 1)

    def _quality(self, x: Tensor, logits: Tensor) -> Tensor:
        share = F.avg_pool2d(logits, 2).sigmoid()  # (N, 3, h, w)
        area = share.sum((2, 3))
        inside = torch.einsum("nkhw,nhwd->nkd", share, x) / (area[..., None] + 1)
        sure = (share * (2 * share - 1).abs()).sum((2, 3)) / (area + 1)
        size = area / share[0, 0].numel()
        whole = x.mean((1, 2))[:, None].expand_as(inside)
        told = torch.cat([inside, whole, sure[..., None], size[..., None]], -1)
        out: Tensor = self.judge(told)[..., 0]
        return out


def _at(values: Tensor, points_xy: Tensor) -> Tensor:
    """Values of a map (h, w, C) at points (N, P, 2) in [0, 1], bilinear: (N, P, C)."""
    found = F.grid_sample(
        values.permute(2, 0, 1)[None], points_xy[None] * 2 - 1, mode="bilinear",
        padding_mode="border", align_corners=False,
    )  # fmt: skip
    return found[0].permute(1, 2, 0)


def _best(values: Tensor, chosen: Tensor) -> Tensor:
    """The largest of the chosen points' maps (N, P, h, w, C) -> (N, h, w, C), 0 where none is."""
    if values.shape[1] == 1:
        return torch.where(chosen[:, :, None, None], values[:, 0], 0.0)
    hidden = values.masked_fill(~chosen[:, :, None, None, None], -torch.inf).amax(1)
    return torch.where(chosen.any(1)[:, None, None, None], hidden, 0.0)
