import { Mastra } from '@mastra/core/mastra';
import { SimpleAuth } from '@mastra/core/server';
import { MastraCompositeStore } from '@mastra/core/storage';
import { DuckDBStore } from '@mastra/duckdb';
import { LibSQLStore } from '@mastra/libsql';
import { PinoLogger } from '@mastra/loggers';
import { DefaultExporter, Observability } from '@mastra/observability';
import { assistant } from './agents/assistant';
import { companion } from './agents/companion';
import { clock } from './tools/clock';
import { wordCount } from './workflows/word-count';

const storage = process.env.SHMASTRA_STORAGE ?? `${process.env.SHMASTRA_PROJECT ?? process.cwd()}/.storage`;
const token = process.env.MASTRA_AUTH_TOKEN;
if (!token) throw new Error('MASTRA_AUTH_TOKEN is not set; the dev server never runs open.');

export const mastra = new Mastra({
  agents: { assistant, companion },
  tools: { clock },
  workflows: { wordCount },
  logger: new PinoLogger({ name: 'shmastra', level: 'info' }),
  storage: new MastraCompositeStore({
    id: 'storage',
    default: new LibSQLStore({ id: 'libsql', url: `file:${storage}/mastra.db` }),
    domains: { observability: await new DuckDBStore({ path: `${storage}/traces.duckdb` }).getStore('observability') },
  }),
  observability: new Observability({
    configs: { default: { serviceName: 'shmastra', exporters: [new DefaultExporter()] } },
  }),
  server: {
    host: '127.0.0.1',
    port: Number(process.env.PORT ?? 4111),
    apiPrefix: process.env.MASTRA_API_PREFIX,
    auth: new SimpleAuth({
      headers: ['x-mastra-auth-token', 'Authorization'],
      tokens: { [token]: { id: process.env.USER_ID ?? 'owner', name: 'owner' } },
    }),
  },
});
