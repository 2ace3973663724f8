from dataclasses import replace

import numpy as np
import pytest
import torch
from sections import comb_task

from transst_py._core.machine import device_of
from transst_py.imputation import training
from transst_py.imputation.batches import Batch, ImageSampler
from transst_py.imputation.maps import GeneMaps
from transst_py.imputation.network import CDCIN, NetworkConfig
from transst_py.imputation.training import TRAINING_PRESETS, TrainingConfig, TrainingData, train
from transst_py.imputation.views import Layout

CPU = torch.device("cpu")
SMALL = TrainingConfig(
    network=NetworkConfig(3, width=8, blocks=1, layers=2, cascades=2, attention="none", zero_init=True),
    start="nearest",
    steps=12,
    batch=8,
    crop=16,
    n_checks=3,
)


def make_data(*, start="nearest", noise=0.1, images=False, rows=24):
    """Sparser-to-sparse views of a comb, dense views, and held-out spots that are in neither."""
    section, sites, _ = comb_task(rows, 20, noise=noise)
    genes = np.arange(5)
    held = np.arange(len(section)) % 7 == 0
    kept, asked = section.subset(~held), section.subset(held)
    maps = GeneMaps(genes, start, None).fit([kept])
    layout = Layout.of(kept, asked, sites)
    observed = maps.values(0, kept)
    checked = layout.view(maps.filled(0, layout.everywhere), observed, maps.values(0, asked))
    thin = (kept.sites.index % 4 == 0).all(axis=1)
    shown, hidden = kept.subset(thin), kept.subset(~thin)
    coarse = GeneMaps(genes, start, None).fit([shown])
    small = Layout.of(shown, hidden, kept.sites, (2, 2))
    sparser = small.view(
        coarse.filled(0, small.everywhere), coarse.values(0, shown), coarse.values(0, hidden)
    )
    rng = np.random.default_rng(0)
    grey = [rng.random((40, 40)).astype(np.float32)]
    sampler = ImageSampler(grey, steps=(2, 2), side=8, processes=[], rng=rng, device=CPU)
    return TrainingData(
        [sparser],
        [checked.asking(layout, kept, observed)],
        [checked],
        np.full(5, 0.2),
        [sampler] if images else [],
    )


def run(config, data, **options):
    return train(config, data, device=CPU, random_state=0, **options)


def weights(trained):
    return torch.cat([p.detach().flatten() for p in trained.network.parameters()])


class TestTrain:
    def test_improves_on_the_nearest_spot(self):
        data = make_data()
        trained = run(replace(SMALL, steps=150, learning_rate=3e-3, patience=None), data)
        assert trained.history[-1]["held_out"] < 0.7
        assert 0 < trained.shrinkage <= 1

    def test_completed_maps_have_the_reported_error(self):
        data = make_data()
        trained = run(replace(SMALL, steps=60), data)
        view = data.held_out[0]
        weight = view.weight
        error = (weight * (trained.complete(view, np.arange(5)) - view.target) ** 2).sum()
        start = (weight * (view.start - view.target) ** 2).sum()
        best = min(check["held_out"] for check in trained.history)
        assert error / start == pytest.approx(best, rel=1e-4)

    def test_without_improvement_the_start_stays(self):
        data = make_data(start="svd_gp", noise=5.0)
        trained = run(replace(SMALL, steps=9, learning_rate=1e-6), data)
        view = data.held_out[0]
        np.testing.assert_allclose(trained.complete(view, np.arange(5)), view.start, atol=1e-3)

    def test_stops_early(self):
        data = make_data(start="svd_gp", noise=3.0)
        config = replace(SMALL, steps=400, n_checks=40, learning_rate=0.03, patience=2)
        trained = run(config, data)
        assert trained.history[-1]["step"] < 400
        errors = [check["held_out"] for check in trained.history]
        assert min(errors) <= min(errors[-2:])

    def test_same_seed_same_network_whatever_torch_did_before(self):
        data = make_data(images=True)
        torch.manual_seed(1)
        first = run(SMALL, data)
        torch.manual_seed(2)
        state = torch.get_rng_state()
        second = run(SMALL, data)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(weights(first), weights(second))
        other = train(SMALL, data, device=CPU, random_state=1)
        assert not torch.equal(weights(first), weights(other))

    @pytest.mark.parametrize("left_out", ["dense_weight", "image_weight"])
    def test_every_loss_counts(self, left_out):
        data = make_data(images=True)
        config = replace(SMALL, dense_weight=1.0, image_weight=1.0, keep_best=False, shrink=False)
        assert not torch.equal(
            weights(run(config, data)), weights(run(replace(config, **{left_out: 0}), data))
        )

    def test_held_out_spots_teach_nothing(self):
        data = make_data(images=True)
        config = replace(SMALL, keep_best=False, shrink=False)
        view = data.held_out[0]
        poisoned = replace(data, held_out=[replace(view, target=view.target + 100)])
        assert torch.equal(weights(run(config, data)), weights(run(config, poisoned)))

    def test_from_another_network(self):
        data = make_data()
        first = run(replace(SMALL, steps=60), data)
        best = min(check["held_out"] for check in first.history)
        same = run(replace(SMALL, steps=3, learning_rate=1e-9), data, initial=first)
        assert same.history[0]["held_out"] == pytest.approx(best, rel=1e-4)

    def test_a_better_network_is_not_given_up(self):
        data = make_data()
        first = run(replace(SMALL, steps=100, learning_rate=3e-3), data)
        harmful = replace(SMALL, learning_rate=0.5, patience=None)
        assert torch.equal(weights(run(harmful, data, initial=first)), weights(first))
        given_up = run(replace(harmful, keep_best=False), data, initial=first)
        assert not torch.equal(weights(given_up), weights(first))

    def test_a_perfect_start_is_left_alone(self):
        data = make_data()
        view = data.held_out[0]
        perfect = replace(data, held_out=[replace(view, start=np.where(view.weight > 0, view.target, 0))])
        trained = run(SMALL, perfect)
        assert trained.shrinkage == 0
        assert all(check["held_out"] == 1 for check in trained.history)


def test_loss_weighs_cascades_and_pixels():
    data = make_data()
    state = training._Run(SMALL, data, CPU, 0)
    maps = [torch.rand(2, 1, 8, 8) for _ in range(3)]
    weight = torch.rand(2, 1, 8, 8)
    batch = Batch(*maps, torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8), weight)
    torch.nn.init.normal_(state.network.cascades[0].last.weight)
    outputs = state.network(batch.start, batch.observed, batch.shown, batch.extra)
    for loss, error_of in (("l1", torch.abs), ("l2", torch.square)):
        state.config = replace(SMALL, loss=loss)
        errors = [(error_of(r - batch.target) * weight).sum() / weight.sum() for r in outputs]
        torch.testing.assert_close(state._loss(batch), errors[0] / 2 + errors[1])
        state.config = replace(SMALL, loss=loss, weigh_by_noise=False)
        errors = [error_of(r - batch.target).mean() for r in outputs]
        torch.testing.assert_close(state._loss(batch), errors[0] / 2 + errors[1])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"loss": "L1"}, ValueError, "`loss`"),
        ({"steps": 0}, ValueError, "`steps` must be at least 1"),
        ({"batch": 1.5}, TypeError, "`batch`"),
        ({"crop": 2}, ValueError, "`crop`"),
        ({"learning_rate": 0.0}, ValueError, "`learning_rate`"),
    ],
)
def test_bad_config(options, error, match):
    with pytest.raises(error, match=match):
        TrainingConfig(**options)


class TestCheckpoint:
    def test_resumed_training_is_the_uninterrupted_one(self, tmp_path, monkeypatch):
        data = make_data(images=True)
        whole = run(SMALL, data)
        path = tmp_path / "state.npz"
        check, seen = training._Run.check, []

        def stop_after_two(state):
            seen.append(check(state))
            if len(seen) == 3:
                raise KeyboardInterrupt
            return seen[-1]

        monkeypatch.setattr(training._Run, "check", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            run(SMALL, data, checkpoint=path)
        monkeypatch.undo()
        with np.load(path, allow_pickle=False) as stored:
            assert all(stored[name].dtype != object for name in stored.files)
        resumed = run(SMALL, data, checkpoint=path)
        assert torch.equal(weights(resumed), weights(whole))
        assert resumed.history == whole.history
        assert resumed.shrinkage == whole.shrinkage

    def test_of_other_settings_or_data_is_refused(self, tmp_path):
        path = tmp_path / "state.npz"
        data = make_data()
        run(SMALL, data, checkpoint=path)
        with pytest.raises(ValueError, match=r"`checkpoint`.*other settings or other data"):
            run(replace(SMALL, batch=4), data, checkpoint=path)
        for other in (make_data(noise=0.2), make_data(images=True), make_data(start="svd_gp")):
            with pytest.raises(ValueError, match=r"`checkpoint`"):
                run(SMALL, other, checkpoint=path)
        path.write_text("something else")
        with pytest.raises(ValueError, match=r"`checkpoint`: .*no state of a training"):
            run(SMALL, data, checkpoint=path)


def test_paper_preset_is_the_published_one():
    paper = TRAINING_PRESETS["paper"]
    network = paper.network
    assert (network.width, network.blocks, network.layers, network.cascades) == (32, 8, 4, 3)
    assert (network.attention, network.in_channels, network.window) == ("all", 1, 8)
    assert (paper.start, paper.scale, paper.loss, paper.ask_shown) == ("nearest", 10.0, "l1", True)
    assert (paper.crop, paper.batch, paper.steps, paper.learning_rate) == (64, 16, 45_000, 1e-4)
    assert (paper.one_cycle, paper.shrink, paper.patience) == (False, False, None)
    optimizer = training._Run(replace(paper, network=SMALL.network), make_data(), CPU, 0).optimizer
    assert (paper.keep_best, paper.weigh_by_noise, paper.mixed_precision) == (False, False, False)
    assert paper.image_sides == (32, 64)
    assert optimizer.defaults["betas"] == (0.5, 0.999)
    assert optimizer.defaults["weight_decay"] == 0


def test_progress_shows_the_loss(capfd):
    run(SMALL, make_data(), verbose=True)
    shown = capfd.readouterr().err
    assert "12/12" in shown
    assert "held_out=" in shown
    run(SMALL, make_data())
    assert capfd.readouterr().err == ""


def test_devices():
    assert device_of("cpu").type == "cpu"
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="`device`"):
        device_of("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_missing_gpu():
    with pytest.raises(ValueError, match="no CUDA device"):
        device_of("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_gpu_agrees_with_cpu():
    data = make_data()
    trained = run(replace(SMALL, steps=60), data)
    view = data.held_out[0]
    expected = trained.complete(view, np.arange(5))
    trained.network.to("cuda")
    np.testing.assert_allclose(trained.complete(view, np.arange(5)), expected, atol=0.05)


@pytest.mark.parametrize(("side", "cascades"), [(8, 1), (11, 2), (40, 2)])
def test_tiles_of_any_size_give_the_whole_map(side, cascades, monkeypatch):
    torch.manual_seed(0)
    config = NetworkConfig(3, width=4, blocks=1, layers=2, cascades=cascades, attention="none")
    network = CDCIN(config).eval()
    view = make_data().dense[0]
    channels = np.array([0, 3])
    whole = training._corrections(network, view, channels)
    assert np.ptp(whole) > 0
    monkeypatch.setattr(training, "TILE_SIDE", side)
    np.testing.assert_allclose(training._corrections(network, view, channels), whole, atol=1e-6)


def test_the_halo_is_no_wider_than_needed():
    """A pixel's correction changes with what lies as far away as `reach`, and with nothing beyond."""
    torch.manual_seed(0)
    config = NetworkConfig(1, width=4, blocks=1, layers=1, cascades=1, attention="none")
    network = CDCIN(config).double().eval()
    start = torch.randn(1, 1, 31, 31, dtype=torch.float64, requires_grad=True)
    mask = torch.zeros_like(start)
    network(start, mask, mask)[-1][0, 0, 15, 15].backward()
    rows = np.flatnonzero(start.grad[0, 0].abs().sum(dim=1).numpy())
    assert 15 - rows.min() == rows.max() - 15 == config.reach
    assert NetworkConfig(attention="tail").reach is None
