from shmastra_cloud.gateway.places import place
from shmastra_cloud.gateway.presets import BUILT_IN, EXAMPLES, PRESETS


def test_every_provider_has_a_usable_public_address_or_an_example_of_one() -> None:
    for kind in (*BUILT_IN, *PRESETS):
        found = place(kind.url or EXAMPLES[kind.name], kind.url_variable, example="", version=kind.version)
        assert found.target.tls or kind.key_optional
        assert found.path.endswith(kind.version)


def test_no_name_or_variable_stands_for_two_providers() -> None:
    kinds = (*BUILT_IN, *PRESETS)
    for values in (
        [kind.name for kind in kinds],
        [kind.variable for kind in kinds],
        [kind.url_variable for kind in kinds],
    ):
        assert len(values) == len(set(values))
