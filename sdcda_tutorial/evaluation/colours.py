"""The colours of all figures: one palette for lines and marks, and one colour map for each kind of map.

The palette is the one of Okabe and Ito (jfly.uni-koeln.de/color), which every kind of colour vision tells apart. The
sequential colour maps are even in lightness, so they can be read in grey too.
"""

BLACK, GREY, LIGHT = "#000000", "#555555", "#BBBBBB"
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
SOURCE, TARGET = BLUE, VERMILION  # the two domains, as in method.svg
HEADS = SKY  # marks on images and maps
INDIGO, WINE = "#332288", "#882255"  # with black and grey: lines of no domain and no method (Paul Tol)

# One colour for each method in every figure. The paper's is the strong one; its parts stand beside it, rivals are warm,
# and counters that never saw the target are grey. None is a colour of the domains.
METHODS = {
    "noadapt-early": "#909090", "noadapt": GREY, "s-source": BLACK, "bn-target": "#999933",
    "fd": PURPLE, "se": SKY, "se+fd": GREEN, "cyclegan": ORANGE, "se-cyclegan": "#A0522D",
}  # fmt: skip

DENSITY = "magma"  # density maps, and other values from 0 up: probabilities, absolute differences
LAID_OVER = (  # its upper three quarters in equal steps, RGB: over a photograph, and without matplotlib
    (81, 18, 124), (118, 33, 129), (156, 46, 127), (196, 60, 117), (231, 82, 99),
    (249, 121, 93), (254, 167, 114), (254, 211, 149), (252, 253, 191),
)  # fmt: skip
FEATURES = "cividis"  # channels of f
DIFFERENCE = "PuOr_r"  # predicted less true: orange is too many, purple too few
