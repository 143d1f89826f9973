"""Slots of clothes and columns of the packed cuts, shared by the array and the compiled form of the rules."""

SKIN, TOP, BOTTOM, SHOES, HAIR, ACCESSORY, JACKET = range(7)
SLOTS = 7
NEVER = 9.0  # metres, beyond every body

# Columns of the packed cuts; y and z are heights and depths, x is measured from the mid-plane, all in metres.
(
    HEAD_Y, HEAD_X, HAIR_Y, HAIR_SLOPE, HAIRLINE_Z, HAIRLINE_Y, HAT, LONG_HAIR_Y, GLOVE_X, SHOE_Y, TRUNK_X,
    TRUNK_Y, HEM_Y, TROUSER_Y, NECK_Y, NECK_DROP, NECK_X, JACKET_GAP, SLEEVE_X, EYE_X, EYE_Y, EYE_Z, MOUTH_Y,
    BEARD, IRIS,
) = range(25)  # fmt: skip
WIDTH = IRIS + 3
