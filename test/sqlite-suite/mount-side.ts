import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Cleanup } from '../harness/cleanup.ts'
import { LTXD_CLI, LtxdNode } from '../harness/ltxd-node.ts'
import { addAlarm, type Alarms, collectAlarms, NODE } from './node-log.ts'

export interface NodeSettings {
  readonly driver: 'direct' | 'fuse-native'
  readonly latency: 'normal' | 'low'
}

interface Status {
  readonly databases: readonly { readonly name: string; readonly error?: string }[]
}

const run = promisify(execFile)
const STATUS_MS = 60_000

/** A node with an empty data directory, for a number of scripts. Each has a directory of its own on the mount. */
export class MountSide {
  readonly #base: string
  readonly #settings: NodeSettings
  readonly #cleanup: Cleanup
  readonly #node: LtxdNode

  private constructor(base: string, settings: NodeSettings, cleanup: Cleanup) {
    this.#base = base
    this.#settings = settings
    this.#cleanup = cleanup
    mkdirSync(base, { recursive: true })
    writeFileSync(join(base, 'ltxd.yml'), `fuse: { latency: ${settings.latency} }\n`)
    this.#node = this.#start('ltxd.log')
  }

  /** `base` is a new directory of its own. */
  static async start(base: string, settings: NodeSettings, cleanup: Cleanup): Promise<MountSide> {
    const side = new MountSide(base, settings, cleanup)
    await side.#node.mounted()
    return side
  }

  get directory(): string {
    return this.#node.options.mount
  }

  /** The node is still there. */
  get serves(): boolean {
    return this.#node.running
  }

  /**
   * Kills the node and everything that it started, however it is, and starts it on what is left: it must find each
   * database as its log tells. Adds what is wrong to `alarms`.
   */
  async finish(alarms: Alarms): Promise<void> {
    if (!this.#node.running) addAlarm(alarms, NODE, 'the node ended')
    await this.#node.destroy()
    const again = this.#start('again.log')
    try {
      await again.mounted()
      for (const { name, error } of (await this.#status()).databases)
        if (error !== undefined)
          addAlarm(alarms, name.replace(/\/testdir\/.*$/, ''), `after a kill, not served: ${error}`)
      await again.stop()
    } catch (error) {
      await again.destroy()
      addAlarm(alarms, NODE, `after a kill, the node does not start, answer or stop: ${messageOf(error)}`)
    }
    for (const { options } of [this.#node, again]) collectAlarms(readFileSync(options.logFile, 'utf8'), alarms)
  }

  async #status(): Promise<Status> {
    const { stdout } = await run(process.execPath, [LTXD_CLI, 'status', '--json', '--data', join(this.#base, 'data')], {
      timeout: STATUS_MS,
      maxBuffer: 2 ** 26,
    }).catch((error: unknown) => {
      // It exits with 1 if a database is not served.
      if (error instanceof Error && 'stdout' in error && error.stdout !== '') return { stdout: String(error.stdout) }
      throw error
    })
    return JSON.parse(stdout) as Status
  }

  #start(logFile: string): LtxdNode {
    return this.#cleanup.own(
      `node at ${this.#base}`,
      () =>
        LtxdNode.start({
          mount: join(this.#base, 'mount'),
          data: join(this.#base, 'data'),
          logFile: join(this.#base, logFile),
          arguments: ['--config', join(this.#base, 'ltxd.yml'), '--driver', this.#settings.driver],
        }),
      (node) => node.destroy(),
    )
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
