import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { NodeAddress } from '../../src/cluster/lease/lease.ts'
import { programFile } from '../harness/programs.ts'
import { until, within } from '../harness/wait.ts'

export interface HolderOptions {
  readonly url: string
  readonly key: string
  readonly ttlMs: number
  readonly self: NodeAddress
  readonly candidate?: boolean
  readonly clusterId?: string
  readonly knownTerm?: number
  /** The member already has the whole history of that term. */
  readonly historyTerm?: number
  /** The replica that has every transaction at a stop. */
  readonly successor?: string
}

export interface HolderEvent {
  readonly what: 'lead' | 'commit' | 'extend' | 'follow' | 'idle' | 'step-down' | 'settled' | 'log' | 'done' | 'failed'
  readonly atMs: number
  readonly term?: number
  readonly deadlineMs?: number
  readonly level?: string
  readonly text?: string
}

export const holderAddress = (n: number): NodeAddress => ({
  nodeId: n.toString(16).padStart(16, '0'),
  hostname: `holder-${n}`,
  url: `http://127.0.0.1:${10_000 + n}`,
})

/** Controls a lease-holder-process.ts. */
export class LeaseHolder {
  readonly self: NodeAddress
  readonly key: string
  /** All events so far, in order. */
  readonly events: HolderEvent[] = []
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #exited: Promise<void>

  constructor(options: HolderOptions) {
    this.self = options.self
    this.key = options.key
    this.#child = spawn(process.execPath, [programFile('lease-holder-process'), JSON.stringify(options)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#exited = new Promise((resolve) => this.#child.once('exit', () => resolve()))
    createInterface({ input: this.#child.stdout }).on('line', (line) =>
      this.events.push(JSON.parse(line) as HolderEvent),
    )
  }

  /** Waits for the first matching event from number `from` on. */
  async event(
    what: HolderEvent['what'],
    { from = 0, text = '', deadlineMs = 60_000 }: { from?: number; text?: string; deadlineMs?: number } = {},
  ): Promise<HolderEvent> {
    const fits = (event: HolderEvent) => event.what === what && (event.text ?? '').includes(text)
    try {
      return await until(`${what} ${text}`, deadlineMs, () => this.events.slice(from).find(fits))
    } catch (error) {
      const told = this.events.filter((event) => event.what !== 'commit' && event.what !== 'extend').slice(-15)
      throw new Error(`${this.self.hostname} told\n${told.map((event) => JSON.stringify(event)).join('\n')}`, {
        cause: error,
      })
    }
  }

  of(what: HolderEvent['what']): HolderEvent[] {
    return this.events.filter((event) => event.what === what)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Sends a command. Resolves once it is done, and throws if it failed. */
  async ask(command: string): Promise<void> {
    const from = this.events.length
    this.#child.stdin.write(`${command}\n`)
    const answer = await until(`answer to ${command}`, 60_000, () =>
      this.events.slice(from).find(({ what, text }) => what === 'failed' || (what === 'done' && text === command)),
    )
    if (answer.what === 'failed') throw new Error(answer.text)
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL')
    await within('end of a lease holder', 60_000, this.#exited)
  }
}
