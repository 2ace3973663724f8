"""CDCIN: the network that sharpens a filled map by cascades of residual dense blocks and data consistency.

Every cascade adds a correction to its input; between cascades the measured values are put back in place.
Blocks may end in a pair of hybrid attention blocks: attention in windows, plain and shifted, next to a
small convolution with channel attention. Maps of any height and width pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transst_py._core.validation import check_choice, check_whole_number

__all__ = ["CDCIN", "PRESETS", "NetworkConfig", "data_consistency"]

ATTENTION = ("all", "tail", "none")
# Weight of the convolution beside the window attention: it starts as a small side effect.
CONV_WEIGHT = 0.01
POSITION_SD = 0.02


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a CDCIN.

    Attributes
    ----------
    in_channels
        Channels each cascade sees: the map itself and `in_channels - 1` further ones.
    width
        Features, and what each dense layer adds to them.
    blocks, layers, cascades
        Residual dense blocks of a cascade, dense layers of a block, cascades of the network.
    window, heads
        Side of the attention windows, and attention heads; `heads` divides `width`.
    attention
        'all': a pair of attention blocks in every dense block; 'tail': one pair behind them all; 'none'.
    zero_init
        Start with last convolutions of zeros, so that the untrained network returns its input.
    data_consistency
        Put the measured values back between cascades.

    Raises
    ------
    TypeError
        A number is no whole number.
    ValueError
        A number is below 1, `attention` is unknown, or the heads do not divide the width.
    """

    in_channels: int = 1
    width: int = 32
    blocks: int = 8
    layers: int = 4
    cascades: int = 3
    window: int = 8
    heads: int = 4
    attention: str = "all"
    zero_init: bool = False
    data_consistency: bool = True

    def __post_init__(self) -> None:
        for name in ("in_channels", "width", "blocks", "layers", "cascades", "window", "heads"):
            check_whole_number(name, getattr(self, name), at_least=1)
        check_choice("attention", self.attention, ATTENTION)
        if self.attention != "none" and self.width % self.heads:
            raise ValueError(f"`heads` must divide `width`, got {self.heads} heads for width {self.width}")

    @property
    def reach(self) -> int | None:
        """Pixels from a pixel to the farthest that its correction depends on; `None` with attention: all."""
        if self.attention != "none":
            return None
        return self.cascades * (self.blocks * self.layers + 4)  # one for each 3 x 3 convolution


PRESETS = {
    "paper": NetworkConfig(),
    "medium": NetworkConfig(width=24, blocks=4, layers=4, cascades=3, attention="tail"),
    "lite": NetworkConfig(width=16, blocks=4, layers=3, cascades=2, attention="none"),
}


def data_consistency(x: Tensor, observed: Tensor, mask: Tensor) -> Tensor:
    """Put the measured values back: (1 - mask) * x + mask * observed, whatever `observed` holds elsewhere.

    Parameters
    ----------
    x, observed
        Maps of one shape.
    mask
        bool, True where measured.
    """
    return torch.where(mask, observed, x)


def _conv3(n_in: int, n_out: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel_size=3, padding=1)


def _to_windows(x: Tensor, window: int) -> Tensor:
    """Cut (B, H, W, C) into (B, windows, window**2, C)."""
    b, height, width, c = x.shape
    x = x.reshape(b, height // window, window, width // window, window, c)
    return x.transpose(2, 3).reshape(b, -1, window * window, c)


def _from_windows(x: Tensor, height: int, width: int, window: int) -> Tensor:
    """Undo `_to_windows`."""
    b, c = x.shape[0], x.shape[-1]
    x = x.reshape(b, height // window, width // window, window, window, c)
    return x.transpose(2, 3).reshape(b, height, width, c)


@lru_cache(maxsize=16)
def _shift_mask(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Bar attention between tokens that only a cyclic shift brought into one window.

    Returns 0 for allowed and -inf for barred pairs, float32 (windows, 1, window**2, window**2).
    """
    # A tensor born in inference mode could not take part in training later.
    with torch.inference_mode(False):
        wrapped_row = torch.arange(height, device=device) >= height - shift
        wrapped_column = torch.arange(width, device=device) >= width - shift
        region = 2 * wrapped_row[:, None].int() + wrapped_column[None, :].int()
        region = _to_windows(region[None, :, :, None], window)[0, :, :, 0]
        barred = region[:, :, None] != region[:, None, :]
        return torch.zeros(barred.shape, device=device).masked_fill(barred, -torch.inf)[:, None]


@lru_cache(maxsize=16)
def _position_index(window: int, device: torch.device) -> Tensor:
    """Row of the position table for each pair of tokens, int64 (window**2, window**2)."""
    with torch.inference_mode(False):
        axis = torch.arange(window, device=device)
        row, column = (a.reshape(-1) for a in torch.meshgrid(axis, axis, indexing="ij"))
        rows_apart = row[:, None] - row[None, :] + window - 1
        columns_apart = column[:, None] - column[None, :] + window - 1
        return rows_apart * (2 * window - 1) + columns_apart


class WindowAttention(nn.Module):
    """Multi-head attention within windows, with a learned bias by relative position; (B, H, W, C) maps."""

    def __init__(self, width: int, window: int, heads: int, shift: int) -> None:
        super().__init__()
        self.window, self.heads, self.shift = window, heads, shift
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.position_bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.position_bias, std=POSITION_SD)

    def _bias(self, height: int, width: int, device: torch.device) -> Tensor:
        """What to add to the scores, (1, windows * heads, window**2, window**2)."""
        by_position = self.position_bias[_position_index(self.window, device)].permute(2, 0, 1)
        barred = _shift_mask(height, width, self.window, self.shift, device)
        return (by_position + barred.to(by_position.dtype)).flatten(0, 1)[None]

    def forward(self, x: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        x = x.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = _to_windows(x, self.window)
        # Windows and heads share an axis: four axes are what the fused kernels take, and the bias, the
        # same for all maps, is never repeated over the batch.
        qkv = self.qkv(windows).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
        query, key, value = qkv.unbind(0)
        bias = self._bias(height, width, x.device)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        attended = attended.unflatten(1, (-1, self.heads)).transpose(2, 3).flatten(3)
        attended = _from_windows(self.project(attended), height, width, self.window)
        return attended.roll((self.shift, self.shift), dims=(1, 2))


class ChannelAttention(nn.Module):
    """Scale every channel by a factor in (0, 1) computed from the means of all; (B, C, H, W) maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = max(width // 8, 1)
        self.gate = nn.Sequential(
            nn.Conv2d(width, squeezed, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(squeezed, width, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean(dim=(2, 3), keepdim=True))


class HybridAttentionBlock(nn.Module):
    """Window attention beside a convolution with channel attention, then an MLP; (B, H, W, C) maps."""

    def __init__(self, width: int, window: int, heads: int, shift: int) -> None:
        super().__init__()
        squeezed = max(width // 4, 1)
        self.norm1 = nn.LayerNorm(width)
        self.attention = WindowAttention(width, window, heads, shift)
        self.conv = nn.Sequential(
            _conv3(width, squeezed), nn.GELU(), _conv3(squeezed, width), ChannelAttention(width)
        )
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        local = self.conv(normed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self.attention(normed) + CONV_WEIGHT * local
        return x + self.mlp(self.norm2(x))


class AttentionPair(nn.Module):
    """A hybrid attention block and a second one whose windows are shifted by half; (B, C, H, W) maps."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        shape = (config.width, config.window, config.heads)
        self.pair = nn.Sequential(
            HybridAttentionBlock(*shape, shift=0), HybridAttentionBlock(*shape, shift=config.window // 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.pair(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ResidualDenseBlock(nn.Module):
    """Dense layers, their fusion and perhaps attention, added to the input; (B, C, H, W) maps."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.layers = nn.ModuleList(_conv3(width * i, width) for i in range(1, config.layers + 1))
        self.fuse = nn.Conv2d(width * (config.layers + 1), width, kernel_size=1)
        self.attention = AttentionPair(config) if config.attention == "all" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        features = x
        for layer in self.layers:
            features = torch.cat([features, F.relu(layer(features))], dim=1)
        return x + self.attention(self.fuse(features))


class Cascade(nn.Module):
    """One sub-network: (B, in_channels, H, W) to the correction of the map, (B, 1, H, W)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.multiple = 1 if config.attention == "none" else config.window
        self.shallow = _conv3(config.in_channels, width)
        self.enter = _conv3(width, width)
        self.blocks = nn.ModuleList(ResidualDenseBlock(config) for _ in range(config.blocks))
        self.fuse = nn.Sequential(
            nn.Conv2d(width * config.blocks, width, kernel_size=1), _conv3(width, width)
        )
        self.tail = AttentionPair(config) if config.attention == "tail" else nn.Identity()
        self.last = _conv3(width, 1)
        if config.zero_init:
            for parameter in self.last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        missing = (0, -width % self.multiple, 0, -height % self.multiple)
        shallow = self.shallow(F.pad(x, missing, mode="replicate") if any(missing) else x)
        features, kept = self.enter(shallow), []
        for block in self.blocks:
            features = block(features)
            kept.append(features)
        deep = self.tail(self.fuse(torch.cat(kept, dim=1)))
        return self.last(deep + shallow)[..., :height, :width]


class CDCIN(nn.Module):
    """Cascades of residual dense networks with data consistency in between.

    Parameters
    ----------
    config
        Shape of the network; see `PRESETS`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.cascades = nn.ModuleList(Cascade(config) for _ in range(config.cascades))

    def forward(
        self, start: Tensor, observed: Tensor, mask: Tensor, extra: Tensor | None = None
    ) -> list[Tensor]:
        """Refine a filled map.

        Parameters
        ----------
        start
            The filled map, floating (B, 1, H, W), any H and W.
        observed
            Values put back between cascades, (B, 1, H, W); ignored off the mask.
        mask
            1 or True where measured, (B, 1, H, W).
        extra
            Further input channels, (B, in_channels - 1, H, W); None when there are none.

        Returns
        -------
        list of Tensor
            The output of every cascade, (B, 1, H, W), the last being the prediction. Measured values are
            put back between cascades, not in the outputs.

        Raises
        ------
        ValueError
            A tensor has another shape.
        """
        self._check_shapes(start, observed, mask, extra)
        mask = mask.bool()
        current, outputs = start, []
        for cascade in self.cascades:
            seen = current if extra is None else torch.cat([current, extra], dim=1)
            refined = current + cascade(seen)
            outputs.append(refined)
            current = data_consistency(refined, observed, mask) if self.config.data_consistency else refined
        return outputs

    def _check_shapes(self, start: Tensor, observed: Tensor, mask: Tensor, extra: Tensor | None) -> None:
        shape = tuple(start.shape)
        if len(shape) != 4 or shape[1] != 1 or 0 in shape:
            raise ValueError(f"`start` must have shape (B, 1, H, W), none of them 0, got {shape}")
        for name, tensor in {"observed": observed, "mask": mask}.items():
            if tuple(tensor.shape) != shape:
                raise ValueError(
                    f"`{name}` must have the shape of `start`, {shape}, got {tuple(tensor.shape)}"
                )
        wanted = (shape[0], self.config.in_channels - 1, *shape[2:])
        found = (shape[0], 0, *shape[2:]) if extra is None else tuple(extra.shape)
        if found != wanted:
            raise ValueError(f"`extra` must have shape {wanted}, got {None if extra is None else found}")
