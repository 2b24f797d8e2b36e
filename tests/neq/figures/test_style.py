import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from neq import figures
from neq.figures import style


def test_styled__ignores_and_keeps_the_users_settings():
    with matplotlib.rc_context({"font.size": 3.0, "lines.linewidth": 9.0, "text.usetex": False}):
        figure = figures.message("coupling", "nothing here")
        assert matplotlib.rcParams["font.size"] == 3.0
    assert figure.texts[-1].get_fontsize() == style.RC["font.size"]


def test_message__is_wrapped_and_whole():
    text = ", ".join(["No cell has finished yet because all of them are pending"] * 4)
    figure = figures.message("coupling", text)
    (printed,) = [text for text in figure.texts if text.get_gid() == "caption"]
    assert "\n" in printed.get_text()
    assert printed.get_text().replace("\n", " ") == f"{text}."
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    box = printed.get_window_extent()
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
    assert not box.overlaps(figure._suptitle.get_window_extent())


@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_colours__stay_apart_for_colour_blind_readers(kind):
    """Simulated as Viénot, Brettel and Mollon (1999) do: project linear RGB on the plane that is left."""
    weights = {
        "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
        "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    }[kind]
    linear = np.array([to_rgb(colour) for colour in style.COLOURS]) ** 2.2
    seen = np.clip(linear @ np.transpose(weights), 0, 1) ** (1 / 2.2)
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    assert distance[np.triu_indices(len(seen), 1)].min() > 0.1


def test_looks__differ_by_marker_as_well_as_by_colour():
    assert len({(style.colour(i), style.marker(i)) for i in range(7)}) == 7
    assert len({style.marker(i) for i in range(7)}) == 7
    assert len({look["marker"] for look in style.CONTRASTS}) == len(style.CONTRASTS)
