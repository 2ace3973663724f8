"""What tests of figures look at."""

import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_hex


def discs(ax):
    found = [child for child in ax.collections if isinstance(child, EllipseCollection)]
    assert len(found) == 1
    return found[0]


def colors_of(ax):
    return [to_hex(color) for color in discs(ax).get_facecolor()]


def render(axes, path):
    figure = np.ravel(axes)[0].figure
    figure.savefig(path, dpi=60)
    assert path.stat().st_size > 5000
