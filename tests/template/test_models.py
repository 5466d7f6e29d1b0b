"""Which model an agent is given, and that its calls go through the cloud, whoever the provider is."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

from tests.doubles.llm_extras import Versatile
from tests.doubles.llm_provider import REAL_KEY, TEXT
from tests.shmastra_cloud.gateway.worlds import KEY, gateway
from tests.shmastra_cloud.workspaces.test_relay import serving
from tests.template.conftest import Project

from shmastra_cloud.gateway import further_names, providers_from_env
from shmastra_cloud.workspaces.env_file import env_file

ASK = """
import { Agent } from '@mastra/core/agent';
import { getModel } from './src/mastra/models.ts';
const told = {};
for (const model of process.argv.slice(2)) {
  const asked = model.includes('/') ? model : () => getModel(model);
  const agent = new Agent({ id: 'a', name: 'a', instructions: 'Be brief.', model: asked });
  try {
    told[model] = (await agent.generate('hi')).text;
  } catch (error) {
    told[model] = error.message;
  }
}
console.log(JSON.stringify(told));
"""


async def _told(project: Project, environ: dict[str, str], *models: str) -> dict[str, str]:
    """Ask each model, or what serves a tier, from inside a project with the ``.env`` of a sandbox."""
    (project.root / "ask.mjs").write_text(ASK)
    async with gateway(environ) as world:
        text = env_file(
            user_id=uuid4(),
            virtual_key=KEY,
            mastra_token="t",
            gateway_url=world.url.removesuffix("/api/gateway"),
            further=further_names(providers_from_env(environ)),
        )
        more = dict(line.split("=", 1) for line in text.splitlines())
        done = await asyncio.to_thread(project.run, "ask.mjs", *models, **more)
    assert done.returncode == 0, done.stderr
    told: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return told


async def test_every_provider_is_reached_by_its_name_and_a_tier_by_what_an_admin_chose(
    project: Project,
) -> None:
    provider = Versatile()
    async with serving(provider) as there:
        names = ("GROQ", "MISTRAL", "DEEPSEEK", "XAI", "OPENROUTER", "TOGETHER", "FIREWORKS", "CEREBRAS")
        environ = {f"{name}_API_KEY": REAL_KEY for name in names}
        environ |= {f"{name}_BASE_URL": f"{there}/v1" for name in names}
        environ |= {
            "SHMASTRA_PROVIDERS": f"acme={there}/v1 ACME_KEY",
            "ACME_KEY": REAL_KEY,
            "GOOGLE_GENERATIVE_AI_API_KEY": REAL_KEY,
            "GOOGLE_GENERATIVE_AI_BASE_URL": f"{there}/v1beta",
            "SHMASTRA_MODELS_FAST": "acme/org/small-model",
        }
        models = [f"{name.lower()}/some-model" for name in names]
        models += ["acme/org/some-model", "togetherai/x", "fireworks-ai/x", "google/gemini-x", "fast", "best"]
        told = await _told(project, environ, *models)
    assert told == dict.fromkeys(models, TEXT)
    assert provider.asked[-2]["body"]["model"] == "org/small-model"
    assert provider.asked[-1]["path"].startswith("/v1beta/models/gemini-")


async def test_a_tier_that_no_model_serves_says_what_an_admin_must_set(project: Project) -> None:
    told = await _told(project, {"SHMASTRA_PROVIDERS": "lab=http://127.0.0.1:9/v1"}, "fast")
    assert "SHMASTRA_MODELS_GENERAL" in told["fast"]
