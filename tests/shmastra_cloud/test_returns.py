import pytest

from shmastra_cloud.returns import RETURN_CHARACTERS, safe_return


@pytest.mark.parametrize(
    "wanted",
    [
        "//e.x",
        "/\\e.x",
        "/\t/e.x",
        "https://e.x",
        "/studio\r\nx: y",
        "/studio/../x",
        "/studio/%2e%2e/x",
        "javascript:alert(1)",
        "/studio@e.x",
        "/api/gateway/x",
        "/studio\n",
        "",
    ],
)
def test_a_return_path_that_could_lead_away_leads_to_studio(wanted: str) -> None:
    assert safe_return(wanted) == "/studio"


def test_a_page_of_ours_is_gone_on_to() -> None:
    for ours in ("/studio/agents/x?tab=1", "/usage?days=7", "/manage", "/workspace"):
        assert safe_return(ours, "/workspace") == ours


def test_a_path_that_is_too_long_or_missing_leads_where_the_caller_says() -> None:
    assert safe_return(None, "/workspace") == "/workspace"
    assert safe_return("/studio/" + "a" * RETURN_CHARACTERS, "/workspace") == "/workspace"
