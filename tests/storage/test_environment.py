"""Secrets in the environment: refused where they cannot be meant, and cut out of texts."""

import pytest

from storage.environment import SECRET_VARIABLES, badly_set, variable, without_secrets


@pytest.mark.parametrize("name", SECRET_VARIABLES)
def test_a_value_appears_in_no_text(name: str) -> None:
    environment = {name: "planted/secret+word\n"}
    for shown in ("planted/secret+word", "planted%2Fsecret%2Bword"):
        assert without_secrets(f"header: {shown!r} is wrong", environment) == "header: '...' is wrong"


def test_a_long_value_is_cut_out_whole_and_a_short_one_is_part_of_words() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "planted", "AWS_SESSION_TOKEN": "planted-token", "PGPASSWORD": "the"}
    assert without_secrets("the planted-token of planted", environment) == "the ... of ..."


def test_signatures_and_users_of_uris_are_cut_out() -> None:
    text = "https://me:word@host/k?X-Amz-Signature=0a1b and Credential=x, Signature=9f8e"
    assert without_secrets(text, {}) == "https://...@host/k?X-Amz-Signature=... and Credential=x, Signature=..."


def test_white_space_around_a_value_is_told_by_the_name_alone() -> None:
    problem = badly_set({"AWS_SESSION_TOKEN": "planted-token\n", "AWS_ACCESS_KEY_ID": "good"})
    assert problem is not None
    assert problem.startswith("AWS_SESSION_TOKEN begins or ends with white space")
    assert "planted" not in problem
    assert badly_set({"AWS_SESSION_TOKEN": "planted-token"}) is None


def test_an_empty_variable_is_not_set() -> None:
    assert [variable("A", {"A": value}) for value in ("", "x")] == [None, "x"]
    assert variable("B", {}) is None
