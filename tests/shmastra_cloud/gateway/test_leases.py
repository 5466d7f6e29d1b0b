import inspect

from tests.doubles.limit_store import Store

from shmastra_cloud.gateway import LimitStore
from shmastra_cloud.leases import LeasesInDatabase


def test_the_database_and_its_double_offer_the_same() -> None:
    wanted = {
        name: list(inspect.signature(value).parameters)
        for name, value in vars(LimitStore).items()
        if inspect.iscoroutinefunction(value)
    }
    assert len(wanted) == 7
    for there in (LeasesInDatabase, Store):
        assert {name: list(inspect.signature(getattr(there, name)).parameters) for name in wanted} == wanted
