import { mkdirSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LtxdNode } from '../test/harness/ltxd-node.ts'
import { detach, isMounted, mountsBelow } from '../test/harness/mounts.ts'
import { TYPESCRIPT_ARGUMENTS } from '../test/harness/typescript.ts'
import { until } from '../test/harness/wait.ts'
import { getJson } from './http.ts'
import type { Depth } from './matching.ts'

/** An ephemeral machine: a directory with a node's mount and data, and the exchange that the node supervises. */

export const DATABASE = 'orders.db'

export interface MachineOptions {
  /** The machine's disk. Losing the machine removes it. */
  readonly directory: string
  /** The URL of the backup, which is not on this disk. Without it the configuration names the backup. */
  readonly backup?: string
  /** The node's ltxd.yml. */
  readonly config?: string
  /** The address of the node's API; any free port by default. */
  readonly http?: string
  /** The port of the exchange. */
  readonly port: number
  /** The log file, which is not on this disk, so that it survives the loss. */
  readonly logFile: string
}

export class Machine {
  readonly options: MachineOptions
  readonly url: string
  readonly #node: LtxdNode
  readonly #startedAt = performance.now()

  /** Boots: starts the node, which restores the backup, mounts, and starts the exchange. */
  constructor(options: MachineOptions) {
    this.options = options
    this.url = `http://127.0.0.1:${options.port}`
    mkdirSync(options.directory, { recursive: true })
    const mount = join(options.directory, 'mount')
    const { logFile, backup, config, http } = options
    this.#node = LtxdNode.start({
      mount,
      data: join(options.directory, 'data'),
      logFile,
      ...(backup === undefined ? {} : { backup }),
      ...(http === undefined ? {} : { http }),
      ...(config === undefined ? {} : { arguments: ['--config', config] }),
      command: [process.execPath, ...TYPESCRIPT_ARGUMENTS, ORDER_BOOK, join(mount, DATABASE), String(options.port)],
    })
  }

  /** The command line for a shell in the project's directory. */
  get commandLine(): string {
    const { directory, backup, config, port } = this.options
    const from =
      (config === undefined ? '' : ` --config ${config}`) + (backup === undefined ? '' : ` --backup ${backup}`)
    return (
      `ltxd mount ${directory}/mount --data ${directory}/data${from} \\\n` +
      `  -- node --import tsx demo/order-book.ts ${directory}/mount/${DATABASE} ${port}`
    )
  }

  get pid(): number {
    return this.#node.pid
  }

  /** Waits for the exchange's first answer, and returns it with the time since the start. */
  async firstAnswer(deadlineMs: number): Promise<{ depth: Depth; afterMs: number; mountedAfterMs: number }> {
    let mountedAfterMs: number | undefined
    try {
      const depth = await until('first answer of the exchange', deadlineMs, async () => {
        if (!this.#node.running) throw new Error('ltxd ended before the exchange answered')
        if (isMounted(this.#node.options.mount)) mountedAfterMs ??= this.#elapsedMs()
        return getJson<Depth>(`${this.url}/book`).catch(() => undefined)
      })
      const afterMs = this.#elapsedMs()
      return { depth, afterMs, mountedAfterMs: mountedAfterMs ?? afterMs }
    } catch (error) {
      throw this.#node.explain(error)
    }
  }

  /**
   * Turns the power off: kills all processes and removes the mount. The disk stays. Returns the pids and the time.
   */
  async kill(): Promise<{ pids: number[]; atMs: number }> {
    const killed = await this.#node.killTree()
    await this.#unmount()
    return killed
  }

  /** Turns the power off and removes the disk: nothing is left of the directory. */
  async lose(): Promise<{ pids: number[]; atMs: number }> {
    const killed = await this.kill()
    await this.#erase()
    return killed
  }

  /** Sends SIGTERM, as a deployment does. The exit code must be 0, and the mount gone. */
  async stop(): Promise<void> {
    const exit = await this.#node.stop()
    if (exit.code !== 0) throw this.#node.explain(`ltxd ended with ${exit.code ?? exit.signal} instead of 0 on SIGTERM`)
    if (isMounted(this.#node.options.mount)) throw this.#node.explain('ltxd ended and left its mount behind')
  }

  /** Kills and removes the machine in any state. For clean-up. */
  async destroy(): Promise<void> {
    await this.#node.destroy()
    await this.#erase()
  }

  async #erase(): Promise<void> {
    await this.#unmount()
    rmSync(this.options.directory, { recursive: true, force: true })
  }

  async #unmount(): Promise<void> {
    for (const mount of mountsBelow(this.options.directory)) await detach(mount)
  }

  #elapsedMs(): number {
    return performance.now() - this.#startedAt
  }
}

const ORDER_BOOK = join(dirname(fileURLToPath(import.meta.url)), 'order-book.ts')

/** A free port on the loopback. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
