"""A drawing of the method, after Fig. 1 of the paper, that lights up part by part: which networks a notebook is about.

The drawing is text, the same for the same arguments, so a notebook that shows it can be compared output by output.
Blue is the source, vermilion the target; every line also carries its index s or t, so colour is never the only sign.
"""

from __future__ import annotations

import base64
import html

from IPython.display import Markdown, display

PARTS = {
    "E": "the feature extractor E, one for both domains, turns images into features (Eq. 1)",
    "C": "the density estimator C turns source features into a density map (Eq. 4)",
    "S": "the semantic extractor S turns features of both domains into crowd masks (Eq. 2)",
    "D": "the feature discriminator D tells source features from target features (Eq. 3)",
    "density_loss": "the density map of the source is compared with F(y) (Eq. 6)",
    "seg_source": "the mask of the source is compared with the true mask (Eq. 7)",
    "seg_target": "the mask of the target is compared with the background of a rough pseudo-mask (Eq. 8-9)",
    "adversarial": "E is moved so that D takes target features for source features (Eq. 10)",
}

SOURCE, TARGET, INK, GREY = "#0072B2", "#D55E00", "#000000", "#555555"
FILL = {"E": "#ECECEC", "C": "#CFEBE1", "S": "#D3EBF8", "D": "#F3DDE9", "loss": "#FBEBC8"}  # tints of Okabe-Ito
PALE = 0.22
WIDTH, HEIGHT = 900, 560

# Where the little people of the two pictures stand, in the 80 × 60 units of a picture: x, y of the head.
_CROWD_S = [(14, 33), (24, 31), (33, 35), (22, 42), (44, 33), (53, 37), (41, 44), (64, 43)]
_CROWD_T = [(34, 38), (43, 36), (51, 40), (39, 46), (48, 48), (70, 44)]
_LEAVES = [(6, 14), (13, 9), (20, 14), (27, 11), (9, 22), (17, 21), (25, 20), (33, 17), (60, 10), (67, 15), (73, 9)]


def drawing(*lit: str) -> str:
    """The method as an SVG of 900 × 560 units.

    Args:
        lit: parts drawn in full, names of `PARTS`; the others are pale. None given: all are lit.
    Raises:
        ValueError: there is no such part.
    """
    unknown = [name for name in lit if name not in PARTS]
    if unknown:
        raise ValueError(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    chosen = [name for name in PARTS if name in lit] or list(PARTS)
    groups = {
        "E": _extractor(), "C": _density(), "S": _semantic(), "D": _discriminator(), "density_loss": _density_loss(),
        "seg_source": _source_loss(), "seg_target": _target_loss(), "adversarial": _adversarial_loss(),
    }  # fmt: skip
    # Pale parts first: where lines cross, the lit one lies above.
    parts = [
        f'<g data-part="{name}" opacity="{1 if name in chosen else PALE}">{groups[name]}</g>'
        for name in sorted(PARTS, key=lambda name: name in chosen)
    ]
    key = "-".join(chosen)  # several drawings may stand in one page
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-labelledby="title-{key} desc-{key}" font-family="Helvetica, Arial, DejaVu Sans, sans-serif">'
        f'<title id="title-{key}">The method: {_names(chosen)}</title>'
        f'<desc id="desc-{key}">{description(*chosen)}</desc>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#FFFFFF"/>' + "".join(parts) + "</svg>"
    )


def description(*lit: str) -> str:
    """What the lit parts of the drawing show, in words."""
    told = "; ".join(PARTS[name] for name in PARTS if name in lit or not lit)
    return f"{told[0].upper()}{told[1:]}."


def show(*lit: str) -> None:
    """Show the drawing in a notebook, and under it the same in words."""
    text = description(*lit)
    # JupyterLab draws no stored SVG before the notebook is run; as a picture within HTML it does.
    picture = base64.b64encode(drawing(*lit).encode()).decode()
    within = f'<img alt="{html.escape(text)}" src="data:image/svg+xml;base64,{picture}">'
    data = {"image/svg+xml": drawing(*lit), "text/html": within, "text/plain": text}
    display(data, raw=True, metadata={"image/svg+xml": {"alt": text}})
    others = " The rest is pale." if lit and set(lit) != set(PARTS) else ""
    display(Markdown(f"*{text}{others}*"))


def _names(chosen: list[str]) -> str:
    return "all parts" if len(chosen) == len(PARTS) else ", ".join(name.replace("_", " ") for name in chosen)


# What the parts consist of, from left to right.


def _extractor() -> str:
    body = _polygon([(160, 160), (236, 205), (236, 295), (160, 340)], "E")
    return "".join([
        _text(66, 112, "source image", SOURCE, extra=_symbol("x", "s")), _scene(16, 122, target=False),
        _text(66, 214, "drawn, heads marked", GREY, 11),
        _text(66, 292, "target image", TARGET, extra=_symbol("x", "t")), _scene(16, 302, target=True),
        _text(66, 394, "real, no labels", GREY, 11),
        _line(SOURCE, (117, 159), (140, 159), (140, 205), (159, 205)),
        _line(TARGET, (117, 339), (140, 339), (140, 295), (159, 295)),
        body, _text(196, 248, "E", INK, 26, weight="bold"), _text(196, 268, "VGG16-BN", INK, 11),
        _text(196, 364, "one E for both", GREY, 11), _text(196, 379, "domains, Eq. 1", GREY, 11),
        _line(SOURCE, (237, 225), (262, 225), (262, 191), (277, 191)),
        _line(TARGET, (237, 275), (262, 275), (262, 305), (277, 305)),
        _features(280, 166, SOURCE), _text(304, 156, "", SOURCE, extra=_symbol("f", "s")),
        _features(280, 282, TARGET), _text(304, 352, "", TARGET, extra=_symbol("f", "t")),
    ])  # fmt: skip


def _density() -> str:
    return "".join([
        _line(SOURCE, (331, 178), (345, 178), (345, 72), (407, 72)),
        _polygon([(410, 50), (476, 32), (476, 112), (410, 94)], "C"), _text(443, 77, "C", INK, 26, weight="bold"),
        _text(443, 97, "Eq. 4", INK, 11), _line(SOURCE, (477, 72), (515, 72)),
        _picture(518, 42, "".join(_spot(x, y, 1.25) for x, y in _CROWD_S), "#14062E"),
        _text(558, 118, "predicted", GREY, 11, extra=_symbol("ŷ", "s")),
    ])  # fmt: skip


def _semantic() -> str:
    def mask(heads: list[tuple[int, int]]) -> str:
        return "".join(f'<circle cx="{x}" cy="{y + 5}" r="8" fill="#56B4E9"/>' for x, y in heads)

    return "".join([
        _line(SOURCE, (331, 191), (407, 191)), _line(TARGET, (331, 305), (407, 305)),
        _polygon([(410, 160), (476, 142), (476, 354), (410, 336)], "S"), _text(443, 245, "S", INK, 26, weight="bold"),
        _text(443, 265, "pyramid", INK, 11), _text(443, 279, "pooling", INK, 11), _text(443, 297, "Eq. 2", INK, 11),
        _line(SOURCE, (477, 190), (515, 190)), _line(TARGET, (477, 306), (515, 306)),
        _picture(518, 160, mask(_CROWD_S), "#2B2B2B"),
        _text(558, 236, "predicted", GREY, 11, extra=_symbol("ẑ", "s")),
        _picture(518, 276, mask([*_CROWD_T, (15, 20), (22, 26)]), "#2B2B2B"),
        _text(558, 352, "predicted", GREY, 11, extra=_symbol("ẑ", "t")),
    ])  # fmt: skip


def _discriminator() -> str:
    return "".join([
        _line(SOURCE, (331, 204), (345, 204), (345, 453), (407, 453)),
        _line(TARGET, (331, 318), (372, 318), (372, 421), (407, 421)),
        _polygon([(410, 396), (476, 414), (476, 460), (410, 478)], "D"), _text(443, 441, "D", INK, 26, weight="bold"),
        _text(443, 459, "Eq. 3", INK, 11),
        _line(TARGET, (477, 426), (507, 426)), _line(SOURCE, (477, 448), (507, 448)),
        _text(512, 430, "", TARGET, 12, "start", _symbol("p", "t") + " → 0"),
        _text(512, 452, "", SOURCE, 12, "start", _symbol("p", "s") + " → 1"),
        _text(512, 472, "D itself learns", GREY, 11, "start"), _text(512, 486, "to tell them apart", GREY, 11, "start"),
    ])  # fmt: skip


def _density_loss() -> str:
    truth = "".join(_spot(x, y, 0.8) for x, y in _CROWD_S)
    return "".join([
        _loss(72, "Eq. 6", _symbol("L", "s", "den"),
            "half the squared", "distance, ‖" + _symbol("ŷ", "s") + " − " + _symbol("F(y", "s") + ")‖²"),
        _line(INK, (599, 72), (623, 72)), _line(INK, (799, 72), (777, 72)),
        _picture(802, 42, truth, "#14062E"), _text(842, 118, "true map", GREY, 11, extra=_symbol("F(y", "s") + ")"),
        _text(20, 40, "Eq. 5:", INK, 13, "start", weight="bold"),
        _text(68, 40, "", INK, 13, "start", _symbol("L", "") + " ="),
        _text(98, 40, "", INK, 13, "start", _symbol("L", "s", "den")),
        _text(20, 62, "moves E, C and S", GREY, 11, "start"),
    ])  # fmt: skip


def _source_loss() -> str:
    people = "".join(_person(x, y, "#56B4E9") for x, y in _CROWD_S)
    return "".join([
        _loss(190, "Eq. 7", _symbol("L", "s", "seg"), "cross-entropy of",
            _symbol("ẑ", "s") + " and " + _symbol("z", "s")),
        _line(INK, (599, 190), (623, 190)), _line(INK, (799, 190), (777, 190)),
        _picture(802, 160, people, "#2B2B2B"), _text(842, 236, "true mask", GREY, 11, extra=_symbol("z", "s")),
        _text(134, 40, "+", INK, 13, "start", _symbol("λ", "s") + " " + _symbol("L", "s", "seg")),
    ])  # fmt: skip


def _target_loss() -> str:
    boxes = "".join(
        f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="#FFFFFF" stroke="{INK}" stroke-dasharray="3 2"/>'
        + _text(x + w / 2, y + h / 2 + 4, "?", GREY, 12)
        for x, y, w, h in [(27, 30, 32, 27), (63, 36, 14, 21)]
    )
    return "".join([
        _loss(306, "Eq. 8–9", _symbol("L", "t", "seg"),
            "background: −log(1−" + _symbol("ẑ", "t") + ")", "on its crowd: 0"),
        _line(INK, (599, 306), (623, 306)), _line(INK, (799, 306), (777, 306)),
        _picture(802, 276, boxes, "#2B2B2B"), _text(842, 352, "pseudo-mask", GREY, 11, extra=_symbol("z", "t")),
        _text(204, 40, "+", INK, 13, "start", _symbol("λ", "t") + " " + _symbol("L", "t", "seg")),
    ])  # fmt: skip


def _adversarial_loss() -> str:
    return "".join([
        _loss(437, "Eq. 10", _symbol("L", "", "adv"), "−log " + _symbol("p", "t") + ": D should",
            "call the target source"),
        _line(TARGET, (558, 426), (623, 426)),
        _text(274, 40, "+", INK, 13, "start", _symbol("λ", "d") + " " + _symbol("L", "", "adv")),
        _line(INK, (701, 473), (701, 520), (196, 520), (196, 390), dashes="6 4"),
        _text(448, 514, "moves E, not D: target features should look like source features", INK, 11),
    ])  # fmt: skip


# Shapes and letters.


def _line(colour: str, *points: tuple[float, float], dashes: str = "") -> str:
    """A polyline that ends in an arrowhead, on a white halo where it crosses another."""
    (x0, y0), (x1, y1) = points[-2:]
    dx, dy = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)  # lines run along the axes
    path = " ".join(f"{x},{y}" for x, y in points)
    base = (x1 - 7 * dx, y1 - 7 * dy)
    tip = f"{x1},{y1} {base[0] - 4 * dy},{base[1] - 4 * dx} {base[0] + 4 * dy},{base[1] + 4 * dx}"
    body = path.rsplit(" ", 1)[0] + f" {base[0]},{base[1]}"
    style = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<polyline points="{body}" fill="none" stroke="#FFFFFF" stroke-width="5"/>'
        f'<polyline points="{body}" fill="none" stroke="{colour}" stroke-width="1.8"{style}/>'
        f'<polygon points="{tip}" fill="{colour}"/>'
    )


def _polygon(points: list[tuple[int, int]], network: str) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return (
        f'<polygon points="{path}" fill="{FILL[network]}" stroke="{INK}" stroke-width="1.5" stroke-linejoin="round"/>'
    )


def _text(
    x: float, y: float, text: str, colour: str, size: int = 12, anchor: str = "middle", extra: str = "",
    weight: str = "normal",
) -> str:  # fmt: skip
    space = " " if text and extra else ""
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{text}{space}{extra}</text>"
    )


def _symbol(letter: str, index: str, low: str = "") -> str:
    """A symbol of the paper with an upper and a lower index; without baseline-shift, which not all browsers know."""
    text, height = f'<tspan font-style="italic">{letter}</tspan>', 0
    for part, at in [(index, -5), (low, 4)]:
        if part:
            text += f'<tspan dy="{at - height}" font-size="75%">{part}</tspan>'
            height = at
    return f'{text}<tspan dy="{-height}">&#8203;</tspan>'  # back to the line, on a character without width


def _loss(y: float, equation: str, symbol: str, *lines: str) -> str:
    """A loss: its equation and symbol, and two lines that say what it measures."""
    return (
        f'<rect x="626" y="{y - 36}" width="148" height="72" rx="8" fill="{FILL["loss"]}" stroke="{INK}"/>'
        + _text(700, y - 16, f"{equation}:", INK, 13, extra=symbol, weight="bold")
        + _text(700, y + 6, lines[0], INK, 11)
        + _text(700, y + 23, lines[1], INK, 11)
    )


def _features(x: int, y: int, colour: str) -> str:
    """A stack of feature maps."""
    return "".join(
        f'<rect x="{x + 5 * i}" y="{y + 4 * i}" width="34" height="34" fill="#FFFFFF" stroke="{colour}" '
        'stroke-width="1.4"/>' for i in range(4)
    )  # fmt: skip


def _picture(x: int, y: int, inside: str, background: str) -> str:
    """A picture of 80 × 60 units at its place."""
    frame = f'<rect width="80" height="60" fill="{background}" stroke="{INK}"/>'
    return f'<g transform="translate({x} {y})">{frame}{inside}</g>'


def _person(x: float, y: float, colour: str) -> str:
    return (
        f'<circle cx="{x}" cy="{y}" r="2.8" fill="{colour}"/>'
        f'<rect x="{x - 3.2}" y="{y + 3}" width="6.4" height="10" rx="2.5" fill="{colour}"/>'
    )


def _spot(x: float, y: float, scale: float) -> str:
    """One head of a density map: dark violet to light yellow, as plotting.DENSITY goes."""
    rings = [(7, "#641A80"), (4.6, "#D3436E"), (2.2, "#FED395")]
    return "".join(f'<circle cx="{x}" cy="{y}" r="{radius * scale:.2f}" fill="{colour}"/>' for radius, colour in rings)


def _scene(x: int, y: int, target: bool) -> str:
    """A street of drawn people with marked heads, or a park with people and foliage that looks like heads."""
    if target:
        back = '<rect width="80" height="28" fill="#C9D3D8"/><rect y="28" width="80" height="32" fill="#A9A58E"/>'
        back += "".join(
            f'<circle cx="{a}" cy="{b}" r="6" fill="{"#3F6B4F" if i % 2 else "#5A8A62"}"/>'
            for i, (a, b) in enumerate(_LEAVES)
        )
        people = "".join(_person(a, b, "#3A3A3A") for a, b in _CROWD_T)
    else:
        back = '<rect width="80" height="28" fill="#D6ECF8"/><rect y="28" width="80" height="32" fill="#E3DCC8"/>'
        back += '<rect x="6" y="8" width="22" height="20" fill="#B8B8B8"/><rect x="46" y="3" width="26" height="25" '
        back += 'fill="#C9C9C9"/>'
        marks = "".join(f'<circle cx="{a}" cy="{b}" r="1.5" fill="#FFFFFF"/>' for a, b in _CROWD_S)
        people = "".join(_person(a, b, SOURCE) for a, b in _CROWD_S) + marks
    frame = f'<rect width="80" height="60" fill="none" stroke="{TARGET if target else SOURCE}" stroke-width="2"/>'
    return f'<g transform="translate({x} {y}) scale(1.25)">{back}{people}{frame}</g>'
