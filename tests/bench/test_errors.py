import pytest

from bench.errors import AssetError, BenchError, ConfigError, DataError, StepError, nearest


@pytest.mark.parametrize(
    ("word", "known", "wanted"),
    [
        ("hcmco", ["cmc", "hcmoco", "mae"], ' Did you mean "hcmoco"?'),
        ("seen", ["batch", "samples_seen", "seeds"], ' Did you mean "samples_seen"?'),  # one of its words
        ("zebra", ["cmc", "mae"], " Known: cmc, mae."),
        ("zebra", [], ""),
    ],
)
def test_nearest_offers_one_name_or_all(word: str, known: list[str], wanted: str) -> None:
    assert nearest(word, iter(known)) == wanted


def test_only_failed_steps_leave_with_one() -> None:
    codes = {error: error.exit_code for error in (BenchError, ConfigError, DataError, AssetError, StepError)}
    assert codes.pop(StepError) == 1 and set(codes.values()) == {2}
