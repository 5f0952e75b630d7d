/**
 * A user who may write to a directory of a replica's mount makes the names of other users' databases there before they
 * arrive, and keeps what he made open. What arrives is never written into it.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { TwoNodes } from '../cluster/two-nodes.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { HANG_MS } from '../harness/effort.ts'
import { NOBODY } from './nobody.ts'

const SECRET = 'secret-of-another-user'

/** Opens the names below a directory, keeps them open, and says on request which of them hold the secret. */
const HOLDER = `
  const fs = require('node:fs')
  const [secret, directory, ...names] = process.argv.slice(1)
  const held = names.map((name) => [name, fs.openSync(directory + '/' + name, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o666)])
  for (const [, fd] of held) fs.fchmodSync(fd, 0o666)
  process.stdout.write('held\\n')
  process.stdin.on('data', () => {
    const reads = held.filter(([, fd]) => {
      const bytes = Buffer.alloc(1 << 20)
      return bytes.subarray(0, fs.readSync(fd, bytes, 0, bytes.length, 0)).includes(secret)
    })
    process.stdout.write(JSON.stringify(reads.map(([name]) => name)) + '\\n')
  })
`

class Holder implements Disposable {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(directory: string, names: readonly string[]) {
    const [command, ...args] = [...NOBODY, process.execPath, '-e', HOLDER, SECRET, directory, ...names]
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], cwd: '/' })
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  static async of(directory: string, ...names: string[]): Promise<Holder> {
    const holder = new Holder(directory, names)
    expect((await holder.#lines.next()).value).toBe('held')
    return holder
  }

  /** The names whose descriptors show the secret. */
  async reads(): Promise<unknown> {
    this.#child.stdin?.write('look\n')
    return JSON.parse((await this.#lines.next()).value as string)
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}

test.runIf(IS_ROOT)(
  'what another user made first on a replica shows nothing that arrives',
  { timeout: HANG_MS },
  async () => {
    await using nodes = await TwoNodes.start({ config: 'fuse: { allow-other: true }\n' })
    const { primary, replica, cluster } = nodes
    await nodes.shell('chmod 755 "$1" && chmod 1777 "$2"', cluster.dir, replica.mount)
    const databases = ['new.db', 'new-wal.db', 'side.db', 'old.db']
    const fill = async (name: string, mode: string) => {
      await using application = nodes.open(primary, name)
      await application.exec(`PRAGMA journal_mode = ${mode}`)
      await application.exec(`CREATE TABLE IF NOT EXISTS t (x); INSERT INTO t VALUES ('${SECRET}')`)
      await nodes.shell('chmod 600 "$1/$2"*', primary.mount, name)
      await application.exec(`INSERT INTO t VALUES ('${SECRET}')`)
      await nodes.same(name)
    }
    await fill('old.db', 'delete')
    using holder = await Holder.of(
      replica.mount,
      ...['new.db', 'new-wal.db', 'side.db-wal', 'side.db-shm', 'side.db-journal', 'old.db-wal', 'old.db-shm'],
    )
    await fill('new.db', 'delete')
    for (const name of databases.slice(1)) await fill(name, 'wal')
    expect(await holder.reads()).toEqual([])
    for (const name of databases) {
      await fill(name, 'wal')
      expect({ name, ...lstatSync(join(replica.mount, name)) }).toMatchObject({ name, uid: 0, mode: 0o100600 })
    }
    expect(await holder.reads()).toEqual([])
    await holder.end()
  },
)

test.runIf(IS_ROOT)(
  'a file of root that everybody may read shows nothing that arrives, whatever name another user gives it',
  { timeout: HANG_MS },
  async () => {
    await using nodes = await TwoNodes.start({ config: 'fuse: { allow-other: true }\n' })
    const { primary, replica, cluster } = nodes
    await nodes.shell('chmod 755 "$1" && chmod 777 "$2" && : > "$2/empty.txt"', cluster.dir, replica.mount)
    const script = 'exec 3< empty.txt; mv empty.txt new.db-wal; echo held; read line; cat <&3; echo end'
    const [command, ...args] = [...NOBODY, 'sh', '-euc', script]
    const holder = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], cwd: replica.mount })
    try {
      const lines = createInterface({ input: holder.stdout })[Symbol.asyncIterator]()
      expect((await lines.next()).value).toBe('held')
      await using application = nodes.open(primary, 'new.db')
      await application.exec('PRAGMA journal_mode = wal; CREATE TABLE t (x)')
      await nodes.shell('chmod 600 "$1/new.db"*', primary.mount)
      await application.exec(`INSERT INTO t VALUES ('${SECRET}')`)
      await nodes.same('new.db')
      holder.stdin.write('look\n')
      expect((await lines.next()).value).toBe('end')
    } finally {
      holder.kill('SIGKILL')
    }
  },
)
