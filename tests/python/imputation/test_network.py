from dataclasses import replace

import pytest
import torch
from torch import nn

from transst_py.imputation import network
from transst_py.imputation.network import CDCIN, PRESETS, NetworkConfig, data_consistency

PAPER = PRESETS["paper"]
SMALL = NetworkConfig(width=8, blocks=2, layers=2, cascades=3, window=4, heads=2)


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def make_input(height, width, *, batch=2, extra=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    start, observed = torch.rand(2, batch, 1, height, width, generator=generator)
    mask = torch.zeros(batch, 1, height, width, dtype=torch.bool)
    mask[..., ::2, ::2] = True
    channels = torch.rand(batch, extra, height, width, generator=generator) if extra else None
    return start, observed, mask, channels


def make_network(config, seed=0):
    torch.manual_seed(seed)
    return CDCIN(config)


class TestCounts:
    """Parameters as published for 32 features, 8 blocks of 4 layers, 3 cascades."""

    @pytest.mark.parametrize(
        ("attention", "count"), [("all", 1_103_553), ("none", 806_849), ("tail", 843_937)]
    )
    def test_cascade(self, attention, count):
        assert n_parameters(network.Cascade(replace(PAPER, attention=attention))) == count

    def test_network(self):
        assert n_parameters(CDCIN(PAPER)) == 3_310_659

    def test_modules(self):
        cascade = network.Cascade(PAPER)
        block = cascade.blocks[0]
        hybrid = block.attention.pair[0]
        counts = {
            320: cascade.shallow,
            9_248: cascade.enter,
            8_224 + 9_248: cascade.fuse,
            289: cascade.last,
            134_528: block,
            92_288: block.layers,
            5_152: block.fuse,
            18_544: hybrid,
            5_124: hybrid.attention,
            4_940: hybrid.conv,
            8_352: hybrid.mlp,
            64: hybrid.norm1,
        }
        assert {n_parameters(module) for module in counts.values()} == set(counts)
        for count, module in counts.items():
            assert n_parameters(module) == count
        assert len(cascade.blocks) == 8

    def test_smaller_presets(self):
        lite = PRESETS["lite"]
        assert n_parameters(CDCIN(lite)) == 131_266
        # 9 more weights for each of 16 features, in each of 2 cascades.
        assert n_parameters(CDCIN(replace(lite, in_channels=2))) == 131_266 + 2 * 144
        assert n_parameters(CDCIN(replace(lite, attention="tail"))) == 153_002
        medium = PRESETS["medium"]
        assert n_parameters(network.Cascade(medium)) == 254_395
        assert n_parameters(network.Cascade(replace(medium, attention="all"))) == 319_897

    def test_narrow_networks_keep_a_feature_in_every_squeeze(self):
        model = make_network(NetworkConfig(width=2, blocks=1, layers=1, cascades=1, window=4, heads=2))
        start, observed, mask, _ = make_input(4, 4)
        assert torch.isfinite(model(start, observed, mask)[0]).all()


def test_shapes_inside_a_cascade():
    cascade = network.Cascade(PAPER)
    shapes = {}
    for name, module in cascade.named_modules():
        module.register_forward_hook(lambda m, x, out, name=name: shapes.update({name: tuple(out.shape)}))
    with torch.no_grad():
        cascade(torch.rand(2, 1, 16, 24))
    wide = (2, 32, 16, 24)
    for name in ("shallow", "enter", "fuse", *(f"blocks.{d}" for d in range(8)), "blocks.0.attention"):
        assert shapes[name] == wide
    assert shapes["blocks.0.attention.pair.1"] == (2, 16, 24, 32)
    assert shapes["last"] == (2, 1, 16, 24)
    assert cascade.fuse[0].in_channels == 256
    assert cascade.blocks[0].fuse.in_channels == 160


class TestDataConsistency:
    def test_exact_where_measured_and_safe_elsewhere(self):
        x, observed, mask, _ = make_input(6, 7)
        observed = observed.masked_fill(~mask, torch.nan)
        found = data_consistency(x, observed, mask)
        assert torch.equal(found[mask], observed[mask])
        assert torch.equal(found[~mask], x[~mask])

    def test_gradient_is_one_minus_the_mask(self):
        x, observed, mask, _ = make_input(6, 7)
        x.requires_grad_()
        data_consistency(x, observed.masked_fill(~mask, torch.nan), mask).sum().backward()
        assert torch.equal(x.grad, 1 - mask.float())

    def test_every_later_cascade_sees_the_measured_values(self):
        model = make_network(SMALL)
        seen = []
        for cascade in model.cascades:
            cascade.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
        start, observed, mask, _ = make_input(8, 8)
        outputs = model(start, observed, mask)
        assert torch.equal(seen[0], start)
        for x, before in zip(seen[1:], outputs[:-1], strict=True):
            assert torch.equal(x, torch.where(mask, observed, before))
        for out in outputs:
            assert not torch.isclose(out[mask], observed[mask]).any()

    def test_garbage_off_the_mask_changes_nothing(self):
        model = make_network(SMALL)
        start, observed, mask, _ = make_input(8, 8)
        losses, gradients = [], []
        for values in (observed, observed.masked_fill(~mask, torch.nan)):
            model.zero_grad()
            loss = sum(out.abs().mean() for out in model(start, values, mask))
            loss.backward()
            losses.append(loss.detach())
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        assert torch.equal(*losses)
        assert torch.equal(*gradients)

    def test_off(self):
        model = make_network(replace(SMALL, data_consistency=False))
        start, observed, mask, _ = make_input(8, 8)
        for found, blind in zip(model(start, observed, mask), model(start, observed + 1, ~mask), strict=True):
            assert torch.equal(found, blind)
        first = start + model.cascades[0](start)
        torch.testing.assert_close(model(start, observed, mask)[1], first + model.cascades[1](first))


class TestForward:
    @pytest.mark.parametrize("attention", ["all", "tail", "none"])
    @pytest.mark.parametrize(("height", "width"), [(8, 8), (33, 35), (5, 7), (48, 20), (1, 1)])
    def test_any_size(self, attention, height, width):
        model = make_network(NetworkConfig(width=8, blocks=2, layers=2, cascades=2, attention=attention))
        start, observed, mask, _ = make_input(height, width)
        outputs = model(start, observed, mask)
        assert [tuple(out.shape) for out in outputs] == [(2, 1, height, width)] * 2
        assert all(torch.isfinite(out).all() for out in outputs)

    def test_padding_is_replication(self):
        model = make_network(replace(SMALL, cascades=1))
        start, observed, mask, _ = make_input(5, 6)
        rows, columns = torch.arange(8).clamp(max=4), torch.arange(8).clamp(max=5)
        padded = (x[..., rows, :][..., columns] for x in (start, observed, mask))
        torch.testing.assert_close(model(start, observed, mask)[0], model(*padded)[0][..., :5, :6])

    def test_zero_init_returns_the_input(self):
        model = make_network(replace(SMALL, zero_init=True, in_channels=2))
        start, _, mask, extra = make_input(6, 7, extra=1)
        for out in model(start, start, mask, extra):
            assert torch.equal(out, start)

    def test_zero_init_still_learns(self):
        model = make_network(replace(SMALL, zero_init=True))
        start, observed, mask, _ = make_input(8, 8)
        sum((out - observed).abs().mean() for out in model(start, observed, mask)).backward()
        for cascade in model.cascades:
            assert cascade.last.weight.grad.abs().sum() > 0

    def test_every_parameter_learns(self):
        model = make_network(replace(SMALL, in_channels=2))
        start, observed, mask, extra = make_input(8, 8, extra=1)
        model(start, observed, mask, extra)[-1].square().mean().backward()
        # A ReLU on very few features may be closed: the gates are left out.
        idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert [name for name in idle if ".gate." not in name] == []

    def test_extra_channels_reach_every_cascade(self):
        model = make_network(replace(SMALL, in_channels=3, data_consistency=False))
        start, observed, mask, extra = make_input(8, 8, extra=2)
        seen = []
        for cascade in model.cascades:
            cascade.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
        model(start, observed, mask, extra)
        assert len(seen) == 3
        for x in seen:
            assert torch.equal(x[:, 1:], extra)

    def test_a_mask_of_numbers_is_a_mask(self):
        model = make_network(SMALL)
        start, observed, mask, _ = make_input(8, 8)
        assert torch.equal(model(start, observed, mask)[-1], model(start, observed, mask.float())[-1])

    def test_maps_of_a_batch_do_not_mix(self):
        model = make_network(SMALL)
        start, observed, mask, _ = make_input(9, 10)
        both = model(start, observed, mask)[-1]
        alone = model(start[1:], observed[1:], mask[1:])[-1]
        torch.testing.assert_close(both[1:], alone)

    def test_same_seed_same_result(self):
        start, observed, mask, _ = make_input(9, 10)
        first, second = make_network(SMALL), make_network(SMALL)
        assert torch.equal(first(start, observed, mask)[-1], second(start, observed, mask)[-1])
        assert torch.equal(first(start, observed, mask)[-1], first(start, observed, mask)[-1])
        assert not torch.equal(
            first(start, observed, mask)[-1], make_network(SMALL, 1)(start, observed, mask)[-1]
        )

    def test_training_after_inference(self):
        """What the first pass caches must serve the second."""
        network._shift_mask.cache_clear()
        network._position_index.cache_clear()
        model = make_network(SMALL)
        start, observed, mask, _ = make_input(8, 12)
        with torch.inference_mode():
            before = model(start, observed, mask)[-1].clone()
        after = model(start, observed, mask)[-1]
        after.mean().backward()
        torch.testing.assert_close(after.detach(), before.clone())

    def test_double_precision(self):
        model = make_network(SMALL).double()
        start, observed, mask, _ = make_input(8, 8)
        out = model(start.double(), observed.double(), mask)[-1]
        assert out.dtype == torch.float64
        torch.testing.assert_close(out.float(), model.float()(start, observed, mask)[-1])


def naive_attention(module, x):
    """Softmax attention token by token: same window, and the same side of the wrap-around."""
    height, width, channels = x.shape
    side, shift, heads = module.window, module.shift, module.heads
    size = channels // heads
    query, key, value = (
        x @ w.T + b for w, b in zip(module.qkv.weight.chunk(3), module.qkv.bias.chunk(3), strict=True)
    )
    table = module.position_bias.reshape(2 * side - 1, 2 * side - 1, heads)
    places = [(r, c) for r in range(height) for c in range(width)]

    def rolled(place):
        return (place[0] - shift) % height, (place[1] - shift) % width

    def group(place):
        (r, c), (row, column) = rolled(place), place
        return r // side, c // side, row < shift, column < shift

    out = torch.zeros_like(x)
    for here in places:
        friends = [there for there in places if group(there) == group(here)]
        (r, c) = rolled(here)
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            scores = torch.stack(
                [
                    query[here][part] @ key[there][part] / size**0.5
                    + table[r - rolled(there)[0] + side - 1, c - rolled(there)[1] + side - 1, h]
                    for there in friends
                ]
            )
            values = torch.stack([value[there][part] for there in friends])
            out[here][part] = scores.softmax(dim=0) @ values
    return out @ module.project.weight.T + module.project.bias


class TestWindowAttention:
    @pytest.fixture
    def make_attention(self):
        def make(shift, window=4, heads=2, width=6):
            torch.manual_seed(0)
            module = network.WindowAttention(width, window, heads, shift)
            nn.init.normal_(module.position_bias)
            return module

        return make

    @pytest.mark.parametrize("shift", [0, 2])
    @pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 12)])
    @torch.no_grad()
    def test_is_softmax_within_windows(self, make_attention, shift, height, width):
        module = make_attention(shift)
        maps = torch.randn(2, height, width, 6)
        found = module(maps)
        for x, out in zip(maps, found, strict=True):
            torch.testing.assert_close(out, naive_attention(module, x), rtol=1e-4, atol=1e-5)

    @torch.no_grad()
    def test_the_shift_mixes_no_wrapped_regions(self, make_attention):
        module = make_attention(4, window=8)
        x = torch.randn(1, 16, 16, 6)
        perturbed = x.clone()
        perturbed[:, :4, :4] += 3.0
        changed = (module(x) != module(perturbed)).any(dim=-1)[0]
        # The four corners of the map share one shifted window.
        assert changed[:4, :4].all()
        changed[:4, :4] = False
        assert not changed.any()

    @torch.no_grad()
    def test_the_shift_joins_neighbouring_windows(self, make_attention):
        x = torch.randn(1, 16, 16, 6)
        perturbed = x.clone()
        perturbed[:, 7, 7] += 3.0
        for shift, (first, last) in {0: (0, 8), 4: (4, 12)}.items():
            module = make_attention(shift, window=8)
            changed = (module(x) != module(perturbed)).any(dim=-1)[0]
            assert changed[first:last, first:last].all()
            assert changed.sum() == 64

    def test_initial_bias_is_small(self):
        module = network.WindowAttention(32, 8, 4, 0)
        assert module.position_bias.shape == (225, 4)
        assert 0.015 < module.position_bias.std() < 0.025


@torch.no_grad()
def test_hybrid_block_is_its_equation():
    torch.manual_seed(0)
    block = network.HybridAttentionBlock(8, window=4, heads=2, shift=2)
    x = torch.randn(2, 8, 4, 8)
    n = block.norm1(x)
    expand, _, shrink, channel = (block.conv[i] for i in range(4))
    local = shrink(nn.functional.gelu(expand(n.permute(0, 3, 1, 2))))
    first, second = channel.gate[0], channel.gate[2]
    weights = torch.sigmoid(second(torch.relu(first(local.mean(dim=(2, 3), keepdim=True)))))
    middle = x + block.attention(n) + 0.01 * (local * weights).permute(0, 2, 3, 1)
    up, _, down = (block.mlp[i] for i in range(3))
    torch.testing.assert_close(block(x), middle + down(nn.functional.gelu(up(block.norm2(middle)))))


@torch.no_grad()
def test_dense_block_and_cascade_are_their_equations():
    torch.manual_seed(0)
    cascade = network.Cascade(replace(SMALL, attention="tail"))
    x = torch.randn(2, 1, 8, 8)
    shallow = cascade.shallow(x)
    feature, kept = cascade.enter(shallow), []
    for block in cascade.blocks:
        dense = feature
        for conv in block.layers:
            dense = torch.cat([dense, torch.relu(conv(dense))], dim=1)
        feature = feature + block.fuse(dense)
        kept.append(feature)
    fused = cascade.tail(cascade.fuse(torch.cat(kept, dim=1)))
    torch.testing.assert_close(cascade(x), cascade.last(fused + shallow))


class TestBadInput:
    @pytest.mark.parametrize(
        ("error", "match", "options"),
        [
            (ValueError, "`blocks` must be at least 1", {"blocks": 0}),
            (TypeError, "`in_channels` must be one whole number", {"in_channels": 1.5}),
            (ValueError, "`attention`: unknown value 'some'", {"attention": "some"}),
            (ValueError, "4 heads for width 30", {"width": 30}),
        ],
    )
    def test_config(self, error, match, options):
        with pytest.raises(error, match=match):
            NetworkConfig(**options)

    def test_heads_do_not_matter_without_attention(self):
        assert NetworkConfig(width=30, attention="none").width == 30

    def test_shapes(self):
        model = make_network(SMALL)
        start, observed, mask, extra = make_input(8, 8, extra=1)
        with pytest.raises(ValueError, match="`start` must have shape"):
            model(start[0], observed, mask)
        with pytest.raises(ValueError, match="`observed` must have the shape"):
            model(start, observed[..., 1:], mask)
        with pytest.raises(ValueError, match="`mask` must have the shape"):
            model(start, observed, mask[:1])
        with pytest.raises(ValueError, match="`extra` must have shape"):
            model(start, observed, mask, extra)
        with pytest.raises(ValueError, match="got None"):
            make_network(replace(SMALL, in_channels=2))(start, observed, mask)
