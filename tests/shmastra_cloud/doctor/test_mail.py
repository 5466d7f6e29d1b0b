from tests.support.mail_server import mail_server

from shmastra_cloud.doctor.mail import mail
from shmastra_cloud.settings import load_settings
from shmastra_cloud.smtp_server import parse_server


async def test_the_mail_server_is_asked_and_its_password_is_not_shown() -> None:
    assert (await mail(load_settings())).status == "ok"
    async with mail_server() as box:
        where = f"127.0.0.1:{box.port}"
        settings = load_settings().model_copy(
            update={"smtp": parse_server(f"smtp://{where}", "team@example.com")}
        )
        found = await mail(settings)
        assert (found.status, found.detail) == ("ok", f"smtp://{where}, from team@example.com")
        signing_in = parse_server(f"smtp://ann%40example.com:hidden@{where}", None)
        refused = await mail(load_settings().model_copy(update={"smtp": signing_in}))
        assert (refused.status, "hidden" in str(refused)) == ("warning", False)
    away = await mail(settings)
    assert (away.status, "does not answer" in away.detail) == ("warning", True)
