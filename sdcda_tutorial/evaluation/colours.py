"""The colours of all figures: one palette for lines and marks, and one colour map for each kind of map.

The palette is the one of Okabe and Ito (jfly.uni-koeln.de/color), which every kind of colour vision tells apart. The
sequential colour maps are even in lightness, so they can be read in grey too.
"""

BLACK, GREY, LIGHT = "#000000", "#555555", "#BBBBBB"
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
SOURCE, TARGET = BLUE, VERMILION  # the two domains, as in method.svg
HEADS = SKY  # marks on images and maps

DENSITY = "magma"  # density maps, and other values from 0 up: probabilities, absolute differences
FEATURES = "cividis"  # channels of f
DIFFERENCE = "PuOr_r"  # predicted less true: orange is too many, purple too few
