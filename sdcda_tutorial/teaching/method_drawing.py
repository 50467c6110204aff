"""The drawing of the method, after Fig. 1 of the paper, with some of its parts lit.

In `method.svg` blue is the source and vermilion the target; every line also carries its index s or t, so colour is
never the only sign. The same arguments give the same text, so notebook outputs can be compared.
"""

import base64
import html
from importlib import resources

from IPython.display import Markdown, display

PARTS = {
    "E": "the feature extractor E, one for both domains, turns images into features (Eq. 1)",
    "C": "the density estimator C turns source features into a density map (Eq. 4)",
    "S": "the semantic extractor S turns features of both domains into crowd masks (Eq. 2)",
    "D": "the feature discriminator D tells source features from target features (Eq. 3)",
    "density_loss": "the density map of the source is compared with F(y) (Eq. 6)",
    "seg_source": "the mask of the source is compared with the true mask (Eq. 7)",
    "seg_target": "the mask of the target is compared only with the background of a rough pseudo-mask (Eq. 8–9)",
    "adversarial": "E is trained so that D mistakes target features for source features (Eq. 10)",
}

PALE = 0.22


def drawing(*lit: str) -> str:
    """The method as an SVG of 900 × 560 units; parts that are not lit are pale, by default all are lit.

    Raises:
        ValueError: a name is not in `PARTS`.
    """
    for name in lit:
        if name not in PARTS:
            raise ValueError(f"there is no part {name!r}; the parts are {', '.join(PARTS)}")
    chosen = [name for name in PARTS if name in lit] or list(PARTS)
    asset = resources.files("sdcda_tutorial.teaching").joinpath("method.svg").read_text(encoding="utf-8")
    svg = "".join(line.strip() for line in asset[asset.index("<svg") :].splitlines())
    page, *groups = svg.removesuffix("</svg>").split('<g data-part="')
    parts = [group.partition('">') for group in groups]  # (name, separator, the group's elements up to </g>)
    parts.sort(key=lambda part: part[0] in chosen)  # pale parts first: where lines cross, the lit one lies above
    names = "all parts" if len(chosen) == len(PARTS) else ", ".join(name.replace("_", " ") for name in chosen)
    # A page may show several drawings, so the ids of the title and the description contain the parts.
    page = page.format(key="-".join(chosen), names=names, description=description(*chosen))
    return page + "".join(
        f'<g data-part="{name}" opacity="{1 if name in chosen else PALE}">{elements}' for name, _, elements in parts
    ) + "</svg>"  # fmt: skip


def description(*lit: str) -> str:
    """What the lit parts of the drawing show, in words."""
    words = (PARTS[name] for name in PARTS if name in lit or not lit)
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in words)


def show(*lit: str) -> None:
    """Show the drawing in a notebook, and under it the same in words."""
    text = description(*lit)
    # JupyterLab shows no stored SVG before the notebook is run, but it does show one as an image within HTML.
    picture = base64.b64encode(drawing(*lit).encode()).decode()
    within = f'<img alt="{html.escape(text)}" src="data:image/svg+xml;base64,{picture}">'
    data = {"image/svg+xml": drawing(*lit), "text/html": within, "text/plain": text}
    display(data, raw=True, metadata={"image/svg+xml": {"alt": text}})
    others = " The parts for other notebooks are pale." if lit and set(lit) != set(PARTS) else ""
    display(Markdown(f"*{text}{others}*"))
