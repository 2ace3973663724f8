"""What takes no time to train, for tests of what is around it."""

from dataclasses import replace

from transst_py.imputation.training import TRAINING_PRESETS

LITE = TRAINING_PRESETS["lite"]
NETWORK = replace(LITE.network, width=8, blocks=1, layers=2, attention="none", zero_init=False)
# No shrinking to the start: the network's part must be seen.
TRAINING = replace(LITE, steps=4, n_checks=2, batch=2, crop=16, shrink=False, network=NETWORK)
