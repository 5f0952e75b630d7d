/** docs/metrics.md: all metrics in the API's registry, with the labels of a scrape. */

import { Metrics } from '../../src/api/metrics.ts'
import type { NodeStatus } from '../../src/api/status.ts'

const HEAD = `# Metrics

This page is generated from the code by \`npm run docs\`.

\`GET /metrics\` answers in Prometheus' text format. A metric without a value has no sample: \`ltxd_db_backup_txid\` is
absent on a node without a backup. Beside these there are the process metrics of prom-client (\`process_*\`, \`nodejs_*\`).

| metric | type | labels | meaning |
|---|---|---|---|
`

/** A node of which every metric has a value. */
const EVERYTHING: NodeStatus = {
  version: '0',
  nodeId: '0000000000000001',
  pid: 1,
  startedAtMs: 0,
  role: 'primary',
  mount: { dir: '/mnt', requests: { WRITE: 1 } },
  data: { dir: '/data' },
  backup: { url: 'file:///backup' },
  cluster: {
    type: 'consul',
    id: 'cluster',
    term: '1',
    candidate: true,
    leaseRemainingMs: 1000,
    lagMs: 0,
    connected: true,
    replicas: [{ nodeId: '0000000000000002', hostname: 'replica', connectedAtMs: 0, behind: 1, positions: {} }],
  },
  databases: [
    {
      name: 'app.db',
      position: '0000000000000001/0000000000000001',
      pageSize: 4096,
      sizePages: 1,
      journalMode: 'wal',
      logFirstTXID: '0000000000000001',
      logBytes: 1,
      commitCount: 1,
      commitIntervalMs: 1,
      backup: {
        ...{ txid: '0000000000000001', lagMs: 0 },
        ...{ restorable: { sinceMs: 1, verifiedAtMs: 1 }, unverifiedMs: 1 },
      },
      checkpoint: {
        walBytes: 1,
        isGuarded: true,
        count: 1,
        totalMs: 1,
        lastMs: 1,
        alarms: 0,
        frames: 1,
        left: 0,
      },
    },
  ],
}

export async function metricsPage(): Promise<string> {
  const text = await new Metrics().render(EVERYTHING)
  const rows = [...text.matchAll(/^# HELP (ltxd_\S+) (.*)\n# TYPE \S+ (\S+)/gm)].map(([, name = '', help, type]) => {
    return `| \`${name}\` | ${type} | ${labelsOf(text, name)} | ${help} |`
  })
  return HEAD + rows.sort().join('\n') + '\n'
}

function labelsOf(text: string, metric: string): string {
  const sample = new RegExp(`^${metric}(?:\\{(.*)\\})? `, 'm').exec(text)
  if (sample === null) throw new Error(`${metric} has no sample in infra/docs/metrics.ts: give its status a value`)
  return [...(sample[1] ?? '').matchAll(/(\w+)="/g)].map(([, label]) => `\`${label}\``).join(', ')
}
