"""The modalities of a sample, and the field of the data that each is made of."""

from collections.abc import Iterable

MODALITIES = {"rgb": "rgb", "depth": "depth", "kp2d": "keypoints_detected"}


def there(modalities: Iterable[str], fields: Iterable[str]) -> list[str]:
    """Return those modalities of which data hold something.

    Args:
        modalities: keys of `MODALITIES`.
        fields: that the data have; none = not known, then all modalities count.
    """
    known = {*fields}
    return [name for name in modalities if MODALITIES[name] in known or not known]
