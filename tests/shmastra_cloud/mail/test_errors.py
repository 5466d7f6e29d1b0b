from shmastra_cloud import mail


def test_the_tree_is_the_one_that_is_drawn() -> None:
    assert mail.__doc__ is not None
    for name in ("MailAway", "MailRefused"):
        assert issubclass(getattr(mail, name), mail.MailError)
        assert f"── {name} " in mail.__doc__
