// The dev server itself: the project's Mastra behind Mastra's own HTTP server, without a bundler.
import { entry } from './load.mjs';

process.env.MASTRA_DEV = 'true';
const { mastra } = await import(entry);
const { createNodeServer } = await import('@mastra/deployer/server');
await createNodeServer(mastra, { studio: false, isDev: true, tools: [] });
process.send?.('listening');
