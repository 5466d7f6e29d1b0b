import httpx
from fastapi import APIRouter, FastAPI

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions, Way
from shmastra_cloud.identity.routes import router
from shmastra_cloud.settings import load_settings
from shmastra_cloud.web_context import WebContext


async def test_the_sign_in_page_offers_each_way(pool: Pool) -> None:
    app = FastAPI()
    app.include_router(router)
    way = Way("Continue with Example <Inc>", "/login/example", APIRouter())
    app.state.context = WebContext(load_settings(), pool, Sessions(pool), (way,))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as browser:
        text = (await browser.get("/")).text
        assert "returnTo" not in text
        wanted = (await browser.get("/", params={"returnTo": "/studio/agents?a=1&b=2"})).text
        evil = (await browser.get("/", params={"returnTo": "https://evil.example"})).text
    assert 'href="/login/example?returnTo=%2Fstudio%2Fagents%3Fa%3D1%26b%3D2"' in wanted
    assert "evil" not in evil
    assert 'href="/login/example"' in text
    assert "Continue with Example &lt;Inc&gt;" in text
