"""What WorkOS tells of its members, as soon as it happens."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from shmastra_cloud.identity.workos.entering import Here
from shmastra_cloud.identity.workos.errors import Away, BadWebhook
from shmastra_cloud.identity.workos.news import news_in
from shmastra_cloud.identity.workos.once import use, was_used
from shmastra_cloud.identity.workos.parts import With

log = logging.getLogger(__name__)

router = APIRouter()

WEBHOOK = "/webhooks/workos"


@router.post("/webhooks/workos")
async def webhook(request: Request, here: Here, its: With) -> Response:
    """Take an event that WorkOS has signed; one that was taken before changes nothing."""
    signature = ", ".join(request.headers.getlist("workos-signature"))  # two are none
    try:
        event = its.provider.delivered(await request.body(), signature)
    except BadWebhook as error:
        log.warning("refused a webhook: %s", error)
        return JSONResponse({"error": "This is not a delivery of WorkOS.", "code": "bad_signature"}, 400)
    name = f"event:{event.get('id')}"
    news = news_in(event, its.provider.organization)
    if news is not None and not await was_used(here.pool, name):
        try:
            await its.members.hear(news)
        except Away as error:
            log.warning("cannot follow a webhook yet: %s", error)
            body = {"error": "WorkOS does not answer; send it again.", "code": "provider_away"}
            return JSONResponse(body, 503, {"retry-after": "5"})
        await use(here.pool, name)
    return JSONResponse({"taken": True})
