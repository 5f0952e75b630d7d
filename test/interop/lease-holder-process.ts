/**
 * A member of a cluster without a node, in a process of its own that can be killed and stopped. Its data plane is a
 * timer that commits while it leads and its deadline has not passed. Each event is a line of JSON on stdout. Times are
 * CLOCK_MONOTONIC, the same for all processes of the machine. Commands are lines on stdin.
 */

import { createInterface } from 'node:readline'
import { ConsulLease } from '../../src/cluster/lease/consul-lease.ts'
import { Membership } from '../../src/cluster/membership.ts'
import { errorCode, errorMessage } from '../../src/util/errors.ts'
import { createLogger } from '../../src/util/log.ts'
import type { HolderEvent, HolderOptions } from './lease-holder.ts'

const options = JSON.parse(process.argv[2] ?? '') as HolderOptions
let clusterId = options.clusterId
let deadlineNs = 0n
let leading: bigint | undefined
let ledTerm = 0n
let historyTerm = BigInt(options.historyTerm ?? 0)

const nowMs = () => Number(process.hrtime.bigint() / 1_000n) / 1_000
const toMs = (ns: bigint) => Number(ns / 1_000n) / 1_000
const report = (event: HolderEvent) => process.stdout.write(JSON.stringify(event) + '\n')

const membership = new Membership({
  lease: new ConsulLease({
    url: options.url,
    key: options.key,
    ttlMs: options.ttlMs,
    sessionName: options.self.hostname,
  }),
  self: options.self,
  candidate: options.candidate ?? true,
  demoteMs: 1_000,
  uploadWindowMs: 0,
  hasBackup: false,
  found: 'now',
  readClusterId: () => clusterId,
  writeClusterId: (id) => (clusterId = id),
  logger: createLogger({
    level: 'info',
    format: 'json',
    write: (line) => {
      const { level, msg } = JSON.parse(line) as { level: string; msg: string }
      report({ what: 'log', atMs: nowMs(), level, text: msg })
    },
  }),
  host: {
    knownTerm: () => BigInt(options.knownTerm ?? 0),
    ledTerm: () => ledTerm,
    historyTerm: () => historyTerm,
    unfit: () => undefined,
    knownNodes: () => [],
    stand: () => Promise.resolve(new Map()),
    leave: () => Promise.resolve({ told: false, safe: true }),
    follow: (primary, term) => {
      historyTerm = term
      return told('follow', primary.nodeId)
    },
    idle: (reason) => told('idle', reason),
    lead: (term) => {
      leading = ledTerm = historyTerm = term
      report({ what: 'lead', atMs: nowMs(), term: Number(term) })
      return Promise.resolve()
    },
    extend: (ns) => {
      deadlineNs = ns
      const { term } = membership.status()
      report({ what: 'extend', atMs: nowMs(), deadlineMs: toMs(ns), term: Number(term) })
    },
    stepDown: (reason) => {
      leading = undefined
      return told('step-down', reason)
    },
    drain: (_signal, to) => Promise.resolve({ successor: to ?? options.successor, kept: 'elsewhere' as const }),
  },
})

setInterval(() => {
  const now = process.hrtime.bigint()
  if (leading !== undefined && now < deadlineNs) report({ what: 'commit', atMs: toMs(now), term: Number(leading) })
}, 5)

createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, to = ''] = line.split(' ')
  const done = command === 'handoff' ? membership.handoff(to) : membership.stop()
  done.then(
    () => report({ what: 'done', atMs: nowMs(), text: line }),
    (error: unknown) => report({ what: 'failed', atMs: nowMs(), text: `${errorCode(error)}: ${errorMessage(error)}` }),
  )
})

membership.roleTaken.then(
  () => report({ what: 'settled', atMs: nowMs() }),
  (error: unknown) => report({ what: 'failed', atMs: nowMs(), text: `${errorCode(error)}: ${errorMessage(error)}` }),
)
membership.start()

function told(what: 'follow' | 'idle' | 'step-down', text: string): Promise<void> {
  report({ what, atMs: nowMs(), text })
  return Promise.resolve()
}
