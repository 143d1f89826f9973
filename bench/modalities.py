"""The modalities of a sample, and the field of the data that each is made of."""

MODALITIES = {"rgb": "rgb", "depth": "depth", "kp2d": "keypoints_detected"}
