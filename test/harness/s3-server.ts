import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { S3 } from '@aws-sdk/client-s3'
import { findTool } from '../../infra/test-tools.ts'
import { createClient } from '../../src/objectstore/s3/client.ts'
import { until, within } from './wait.ts'

/** A real S3 server, on a free port of the loopback and in a directory of its own. */

export const S3_SERVERS = ['versitygw', 'minio'] as const
export type S3ServerName = (typeof S3_SERVERS)[number]

const ACCESS_KEY = 'ltxd-test'
const SECRET_KEY = 'ltxd-test-secret'
const REGION = 'us-east-1'

const COMMANDS: Readonly<Record<S3ServerName, (address: string, dir: string) => string[]>> = {
  versitygw: (address, dir) => ['--port', address, 'posix', dir],
  minio: (address, dir) => ['server', '--quiet', '--address', address, dir],
}

/** The server's path: `$VERSITYGW_BIN`, `$MINIO_BIN`, or on the PATH; undefined if it is not installed. */
export function findS3Server(name: S3ServerName): string | undefined {
  return process.env[`${name.toUpperCase()}_BIN`] ?? findTool(name)
}

export class S3Server {
  readonly name: S3ServerName
  readonly endpoint: string
  readonly port: number
  readonly #dir: string
  #child: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()
  #buckets = 0

  private constructor(name: S3ServerName, port: number, dir: string) {
    this.name = name
    this.port = port
    this.endpoint = `http://127.0.0.1:${port}`
    this.#dir = dir
  }

  /** Resolves once it answers. */
  static async start(name: S3ServerName): Promise<S3Server> {
    const dir = await mkdtemp(join(tmpdir(), `ltxd-${name}-`))
    await mkdir(join(dir, 'objects'))
    const server = new S3Server(name, await freePort(), dir)
    await server.run()
    return server
  }

  /** Starts it, or starts it again on the same port with its data. */
  async run(): Promise<void> {
    const { name } = this
    const binary = findS3Server(name)
    if (binary === undefined) throw new Error(`${name} is not installed: bash infra/setup.sh --test-tools`)
    const log = openSync(join(this.#dir, 'log'), 'a')
    const credentials = { ROOT_ACCESS_KEY: ACCESS_KEY, ROOT_SECRET_KEY: SECRET_KEY }
    const minio = { MINIO_ROOT_USER: ACCESS_KEY, MINIO_ROOT_PASSWORD: SECRET_KEY, MINIO_BROWSER: 'off' }
    const env = { ...process.env, ...credentials, ...minio }
    const args = COMMANDS[name](`127.0.0.1:${this.port}`, join(this.#dir, 'objects'))
    const child = spawn(binary, args, { env, stdio: ['ignore', log, log] })
    closeSync(log)
    this.#child = child
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()))
    try {
      await until(`answer of ${name}`, 60_000, () => this.#answers(), 50)
    } catch (error) {
      const output = readFileSync(join(this.#dir, 'log'), 'utf8').slice(-2000)
      await this.stop()
      throw new Error(`${name} did not start: ${output}`, { cause: error })
    }
  }

  /** Stops the process: connections stay open, and requests get no answer. */
  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await within(`end of ${this.name}`, 60_000, this.#exited)
  }

  /** The environment variables with the credentials. */
  get environment(): Record<string, string> {
    return { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY, AWS_REGION: REGION }
  }

  get query(): string {
    return `endpoint=${this.endpoint}&region=${REGION}&forcePathStyle=true`
  }

  /** Makes a bucket, and returns the URL of a prefix in it. */
  async freshUrl(prefix = 'some/prefix'): Promise<string> {
    const bucket = `bucket-${++this.#buckets}`
    const client = await this.client()
    await client.createBucket({ Bucket: bucket })
    client.destroy()
    return `s3://${bucket}/${prefix}?${this.query}`
  }

  /** A client, for operations that a store does not have. */
  client(): Promise<S3> {
    const { endpoint } = this
    const address = { url: endpoint, bucket: '', prefix: '', endpoint, region: REGION, forcePathStyle: true }
    return createClient(address, { credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY } })
  }

  async stop(): Promise<void> {
    await this.kill()
    await rm(this.#dir, { recursive: true, force: true })
  }

  async #answers(): Promise<boolean> {
    if (this.#child?.exitCode !== null) throw new Error(`${this.name} ended with code ${this.#child?.exitCode}`)
    const client = await this.client()
    try {
      await client.listBuckets()
      return true
    } catch {
      return false
    } finally {
      client.destroy()
    }
  }
}

/** A port that was free a moment ago. Use it at once. */
export async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(0, '127.0.0.1', resolve))
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('the probe has no port')
  return address.port
}
