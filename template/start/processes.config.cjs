const { readFileSync } = require('node:fs');
const { parseEnv } = require('node:util');

const project = '/home/user/shmastra';

module.exports = {
  apps: [
    {
      name: 'shmastra',
      cwd: project,
      script: 'runner/main.mjs',
      node_args: '--disable-warning=ExperimentalWarning',
      env: { ...parseEnv(readFileSync(`${project}/.env`, 'utf8')), SHMASTRA_PROJECT: project },
      out_file: `${project}/.logs/shmastra.log`,
      error_file: `${project}/.logs/shmastra.log`,
      exp_backoff_restart_delay: 200,
      kill_timeout: 6000,
    },
    {
      name: 'healer',
      cwd: project,
      script: '/opt/shmastra/healer',
      interpreter: 'none',
      exp_backoff_restart_delay: 1000,
    },
  ],
};
