from shmastra_cloud.doctor.check import failed, ok, warning


def test_the_shape_is_the_one_of_the_json() -> None:
    assert ok("a", "b").as_json() == {"name": "a", "status": "ok", "detail": "b", "fix": ""}
    assert [make("a", "b", "c").status for make in (warning, failed)] == ["warning", "failed"]
