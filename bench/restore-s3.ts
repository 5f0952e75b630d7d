/**
 * Restore from a bucket, ltxd and Litestream in turn, from the same objects on the same server (versitygw):
 * `npm run build && node --import tsx bench/restore-s3.ts [MEGABYTES]`. Needs versitygw and litestream
 * (`bash infra/setup.sh --test-tools`).
 */

import { execFile, execFileSync } from 'node:child_process'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { findTool, useBuiltTools } from '../infra/test-tools.ts'
import { LTXD_CLI } from '../test/harness/ltxd-node.ts'
import { S3Server } from '../test/harness/s3-server.ts'

const ROUNDS = 3
const run = promisify(execFile)

/**
 * Rows of text and numbers, which compress to about half. The last part is written in small transactions.
 */
function writeDatabase(path: string, megabytes: number, replicate: () => void): void {
  const db = new Database(path)
  db.pragma('journal_mode = wal')
  db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB); CREATE INDEX t_name ON t (name)')
  const insert = db.prepare(
    "INSERT INTO t (name, data) VALUES ('user-' || abs(random()), randomblob(600) || zeroblob(500))",
  )
  const rows = Math.ceil((megabytes * 1e6) / 1250)
  for (let done = 0; done < rows; done += 20_000) {
    db.transaction(() => {
      for (let i = done; i < Math.min(rows, done + 20_000); i++) insert.run()
    })()
  }
  replicate()
  db.exec('UPDATE t SET name = name || 0 WHERE id % 1000 = 0')
  replicate()
  db.close()
}

async function main(megabytes: number): Promise<void> {
  useBuiltTools()
  const litestream = process.env.LITESTREAM_BIN ?? findTool('litestream')
  if (litestream === undefined) throw new Error('litestream is not installed: bash infra/setup.sh --test-tools')
  const server = await S3Server.start('versitygw')
  const dir = await mkdtemp(join(tmpdir(), 'ltxd-restore-'))
  try {
    const { AWS_CA_BUNDLE: _, ...inherited } = process.env
    const env = { ...inherited, ...server.environment }
    const url = await server.freshUrl()
    const address = url.replace('?', '/app.db?')
    const source = join(dir, 'app.db')
    writeDatabase(source, megabytes, () =>
      execFileSync(litestream, ['replicate', '-once', source, address], { env, stdio: 'ignore' }),
    )
    const best = new Map<string, number>()
    let sizeBytes = 0
    for (let round = 0; round < ROUNDS; round++) {
      const out = join(dir, 'restored.db')
      const contestants: [string, string, string[]][] = [
        ['ltxd', process.execPath, [LTXD_CLI, 'restore', url, 'app.db', '-o', out]],
        ['litestream', litestream, ['restore', '-o', out, address]],
      ]
      for (const [name, file, args] of contestants) {
        const startMs = performance.now()
        await run(file, args, { env })
        const ms = performance.now() - startMs
        best.set(name, Math.min(best.get(name) ?? Infinity, ms))
        sizeBytes = (await stat(out)).size
        await rm(out)
        console.log(`round ${round + 1}: ${name.padEnd(12)}${(ms / 1000).toFixed(2).padStart(7)} s`)
      }
    }
    for (const [name, ms] of best) {
      console.log(
        `best of ${ROUNDS}: ${name.padEnd(12)}${(ms / 1000).toFixed(2).padStart(7)} s  ${(sizeBytes / 1e3 / ms).toFixed(0)} MB/s of ${(sizeBytes / 1e6).toFixed(0)} MB`,
      )
    }
  } finally {
    await server.stop()
    await rm(dir, { recursive: true, force: true })
  }
}

await main(Number(process.argv[2] ?? 300))
