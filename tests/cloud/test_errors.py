from __future__ import annotations

import pytest

from faafo_lab.cloud import errors
from faafo_lab.cloud.errors import (
    AlreadyExists,
    Ambiguous,
    AuthError,
    BadRequest,
    CloudError,
    CloudFailed,
    Forbidden,
    InUse,
    NotFound,
    QuotaExceeded,
    from_status,
)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__
    for name in errors.__all__:
        assert name in errors.__doc__.split("Each message")[0].split()


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, "Invalid input for field/attribute name.", BadRequest),
        (401, "The request you have made requires authentication.", AuthError),
        (403, "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances", QuotaExceeded),
        (403, "Policy doesn't allow identity:list_projects to be performed.", Forbidden),
        (404, "Instance x could not be found.", NotFound),
        (409, "Key pair 'lab' already exists.", AlreadyExists),
        (409, "Security group rule already exists. Rule id is 1.", AlreadyExists),
        (409, "Quota exceeded for resources: ['security_group'].", QuotaExceeded),
        (409, "Security Group x in use.", InUse),
        (409, "Cannot 'os-start' instance x while it is in vm_state active", InUse),
        (413, "Over limit", QuotaExceeded),
        (500, "Unexpected API Error.", CloudFailed),
        (503, "", CloudFailed),
    ],
)
def test_a_status_becomes_an_error_with_the_clouds_own_words(status: int, words: str, kind: type[CloudError]) -> None:
    error = from_status(status, words)
    assert type(error) is kind
    assert words.rstrip(".") in str(error)


def test_of_a_page_only_its_words_are_told() -> None:
    page = (
        "<html>\n <head><title>502 Bad Gateway</title></head>\n <body><h1>502 Bad Gateway</h1>\n<hr>nginx</body></html>"
    )
    assert str(from_status(502, page)).startswith("The cloud failed (502): 502 Bad Gateway: nginx. Try again")


def test_a_word_that_never_ends_is_cut() -> None:
    error = from_status(400, f"Value: {'v' * 300}. '{'v' * 300}' is too long.")
    assert str(error) == (
        f"The cloud refuses the request (400): Value: {'v' * 40}… '{'v' * 39}… is too long. "
        "Correct the value and try again."
    )


@pytest.mark.parametrize(
    ("status", "words", "kind", "advice"),
    [
        (409, "Multiple possible networks found, use a Network ID to be more specific.", Ambiguous, "Choose one"),
        (404, "External network x is not reachable from subnet y. Therefore, cannot …", NotFound, "No router"),
        (409, "Insufficient rights for removing default security group.", Forbidden, "delete its rules instead"),
        (409, "Cannot …, as that fixed IP already has a floating IP on …", AlreadyExists, "detach it first"),
        (409, "Instance x is not ready", InUse, "Wait until it is ACTIVE"),
    ],
)
def test_what_a_status_alone_would_mislead_about_is_known(
    status: int, words: str, kind: type[CloudError], advice: str
) -> None:
    error = from_status(status, words)
    assert type(error) is kind
    assert str(error).startswith(f"{words.rstrip('.')}. ")
    assert advice in str(error)


def test_not_found_shows_near_matches_first() -> None:
    error = NotFound.among("flavor", "m1.tinny", ["m1.large", "m1.small", "m1.tiny"])
    assert str(error).startswith("There is no flavor 'm1.tinny'. Did you mean 'm1.tiny'? There are: m1.tiny, ")


def test_not_found_shows_a_few_of_many_names() -> None:
    assert str(NotFound.among("server", "x", [f"server-{i:03}" for i in range(100)])).endswith(" and 88 more.")


def test_not_found_says_when_there_is_none_at_all() -> None:
    assert str(NotFound.among("server", "x", [])) == "There is no server 'x': this project has no server yet."


def test_in_ipython_an_error_shows_its_message_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))  # which would outlive its home
    try:
        shell.run_cell("from faafo_lab.cloud.errors import NotFound\nraise NotFound('There is no server x.')")
    finally:
        InteractiveShell.clear_instance()
    shown = "".join(capsys.readouterr())
    assert shown.strip() == "NotFound: There is no server x."


def test_an_interrupt_does_not_say_whether_what_was_begun_is_undone() -> None:
    """Servers of a deployment that is interrupted are removed, a volume that was being made stays: it can't know."""
    assert "undone" not in str(errors.Interrupted("6 servers: 2 of 6"))
