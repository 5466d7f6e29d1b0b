// Agents name no provider: which one serves a tier is asked of the cloud when a model is needed.
import { defaultGateways } from '@mastra/core/llm';

export type Tier = 'fast' | 'general' | 'best';

interface Catalog {
  providers: string[];
  tiers: Partial<Record<Tier, string>>;
}

const CACHE_MS = 30_000;
const TIMEOUT_MS = 5_000;
let known: { catalog: Catalog; at: number } | undefined;

// Mastra honours GOOGLE_BASE_URL only where its registry holds an address for the provider.
const google = (defaultGateways.find(gateway => gateway.id === 'models.dev') as any)?.providerConfigs?.google;
if (google && !google.url) google.url = 'https://generativelanguage.googleapis.com/v1beta';

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
  const id = (await catalog()).tiers[tier];
  if (!id) {
    throw new Error(
      'No model provider is configured. An admin of this cloud must set OPENAI_API_KEY, ANTHROPIC_API_KEY or ' +
        'GOOGLE_GENERATIVE_AI_API_KEY.',
    );
  }
  if (!id.startsWith('demo/')) return id;
  const url = `${process.env.CLOUD_URL}/api/gateway/demo/v1`;
  return { id, url, apiKey: process.env.OPENAI_API_KEY };
}
