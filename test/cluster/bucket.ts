import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll } from 'vitest'
import { S3Server } from '../harness/s3-server.ts'

export interface Bucket {
  readonly server: S3Server
  /** A directory for the nodes of all tests. */
  readonly root: string
  /** Carried out after each test, the last first. */
  readonly ends: (() => Promise<unknown> | void)[]
}

/** An S3 server for the tests of a file, with its credentials in the environment. Called outside of them. */
export function bucketForTests(name: string): Bucket {
  const before = { ...process.env }
  const ends: Bucket['ends'] = []
  let server: S3Server | undefined
  let root = ''
  beforeAll(async () => {
    root = realpathSync(mkdtempSync(join(tmpdir(), `ltxd-${name}-`)))
    server = await S3Server.start('versitygw')
    Object.assign(process.env, server.environment)
  })
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })
  afterAll(async () => {
    await server?.stop()
    process.env = before
    rmSync(root, { recursive: true, force: true })
  })
  return {
    get server() {
      if (server === undefined) throw new Error('the server runs within tests')
      return server
    },
    get root() {
      return root
    },
    ends,
  }
}
