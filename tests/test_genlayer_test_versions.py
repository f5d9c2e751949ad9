"""The newest pre-release of genlayer-test, which needs another genlayer-py than that of the environment."""

from tests.other_versions import other_versions

PREVIEW = "genlayer-test-preview"


def test_direct_mode__of_the_preview__runs_on_the_fallback_library_of_the_later_line() -> None:
    other_versions(PREVIEW).pass_tests("tests/std/test_direct_mode.py", "-knot linter and not genvmroot", without=())


def test_direct_mode__of_the_preview__runs_the_later_edition_of_the_contract() -> None:
    other_versions(PREVIEW).pass_tests("tests/contract/unit/test_direct_mode.py", without=())


def test_gltest__of_the_preview__tells_the_same_stories_on_the_localnet() -> None:
    other_versions(PREVIEW).pass_tests("tests/integration", without=())
