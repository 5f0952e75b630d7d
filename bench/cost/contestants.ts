import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LtxdNode } from '../../test/harness/ltxd-node.ts'
import { within } from '../../test/harness/wait.ts'

export interface Place {
  /** An empty directory of its own. */
  readonly directory: string
  /** An `s3:` URL. */
  readonly backup: string
  readonly databases: number
  readonly syncInterval: string
}

export interface Running {
  /** Where an application makes its databases, which are db0.db, db1.db … */
  readonly directory: string
  /** The databases are there. */
  begin(): Promise<void>
  stop(): Promise<void>
}

export const CONTESTANTS = {
  ltxd: async ({ directory, backup, syncInterval }: Place): Promise<Running> => {
    const config = join(directory, 'ltxd.yml')
    writeFileSync(config, `backup: { url: "${backup}", sync-interval: ${syncInterval} }\n`)
    const node = LtxdNode.start({
      mount: join(directory, 'mnt'),
      data: join(directory, 'data'),
      logFile: join(directory, 'log'),
      arguments: ['--config', config],
    })
    await node.mounted()
    return { directory: node.options.mount, begin: async () => {}, stop: () => node.destroy() }
  },

  litestream: (binary: string) => {
    return async ({ directory, backup, databases, syncInterval }: Place): Promise<Running> => {
      const data = join(directory, 'data')
      mkdirSync(data)
      const [base, query] = backup.split('?')
      const dbs = Array.from({ length: databases }, (_, i) => {
        const url = `${base}/db${i}.db?${query}`
        return `  - path: ${data}/db${i}.db\n    replica: { url: "${url}", sync-interval: ${syncInterval} }\n`
      })
      const config = join(directory, 'litestream.yml')
      writeFileSync(config, `dbs:\n${dbs.join('')}`)
      let child: ChildProcess | undefined
      let ended: Promise<unknown> = Promise.resolve()
      return {
        directory: data,
        async begin() {
          const { AWS_CA_BUNDLE: _, ...env } = process.env
          child = spawn(binary, ['replicate', '-config', config], { env, stdio: 'ignore' })
          ended = once(child, 'exit')
        },
        async stop() {
          child?.kill('SIGKILL')
          await within('end of litestream', 10_000, ended)
        },
      }
    }
  },
}
