// Agents name no provider: which one serves a tier is asked of the cloud when a model is needed.
import { defaultGateways } from '@mastra/core/llm';

export type Tier = 'fast' | 'general' | 'best';

interface Catalog {
  providers: string[];
  tiers: Partial<Record<Tier, string>>;
}

const CACHE_MS = 30_000;
const TIMEOUT_MS = 5_000;
// Their own SDKs speak to these; all others speak OpenAI's chat completions.
const OWN_API = new Set(['openai', 'anthropic', 'google']);
const NO_CHAT = new Set(['composio', 'gemini']);
let known: { catalog: Catalog; at: number } | undefined;

teachMastra();

/**
 * Have ids such as `groq/llama-3.3-70b` or `acme/some-model` go through the cloud's gateway.
 *
 * Mastra honours a provider's `<NAME>_BASE_URL` only where its registry holds an address for the provider, and knows
 * nothing of providers that an admin of this cloud added.
 */
function teachMastra() {
  const registry = (defaultGateways.find(gateway => gateway.id === 'models.dev') as any)?.providerConfigs;
  if (!registry) return;
  const prefix = `${process.env.CLOUD_URL}/api/gateway/`;
  for (const [variable, url] of Object.entries(process.env)) {
    if (!variable.endsWith('_BASE_URL') || !url?.startsWith(prefix)) continue;
    const called = variable.slice(0, -'_BASE_URL'.length);
    const id = called.toLowerCase().replaceAll('_', '-');
    const isItsName = url.slice(prefix.length).split('/', 1)[0] === id && !NO_CHAT.has(id);
    if (!registry[id] && !isItsName) continue;
    registry[id] ??= { name: id, models: [], apiKeyEnvVar: `${called}_API_KEY`, gateway: 'models.dev' };
    registry[id].url ??= url;
  }
}

async function catalog(): Promise<Catalog> {
  if (known && Date.now() - known.at < CACHE_MS) return known.catalog;
  const answer = await fetch(`${process.env.CLOUD_URL}/api/gateway/catalog`, {
    headers: { authorization: `Bearer ${process.env.OPENAI_API_KEY}` },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!answer.ok) throw new Error(`The cloud answered ${answer.status} when asked for its models.`);
  known = { catalog: (await answer.json()) as Catalog, at: Date.now() };
  return known.catalog;
}

/** Return the model that serves a tier now; throws an error that says what to set where there is none. */
export async function getModel(tier: Tier = 'general'): Promise<any> {
  const { tiers, providers } = await catalog();
  const id = tiers[tier];
  if (!id) {
    throw new Error(
      providers.some(name => name !== 'composio')
        ? `No model serves '${tier}'. An admin of this cloud must set SHMASTRA_MODELS_GENERAL to provider/model.`
        : 'No model provider is configured. An admin of this cloud must set OPENAI_API_KEY, ANTHROPIC_API_KEY or ' +
          'GOOGLE_GENERATIVE_AI_API_KEY.',
    );
  }
  const provider = id.split('/', 1)[0]!;
  if (OWN_API.has(provider)) return id;
  const url = `${process.env.CLOUD_URL}/api/gateway/${provider}/v1`;
  return { id, url, apiKey: process.env.OPENAI_API_KEY };
}
