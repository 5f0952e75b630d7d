import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { ClockSkewError } from '../../src/backup/history/errors.ts'
import { createLogger } from '../../src/util/log.ts'
import { RedisLink } from '../../workers/redis.ts'
import { BackgroundCommand } from '../harness/background.ts'
import { RedisServer } from '../harness/redis-server.ts'
import { freePort } from '../harness/s3-server.ts'

describe.skipIf(findTool('redis-server') === undefined)('a Redis', () => {
  let dir: string
  let redis: RedisServer | undefined

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'ltxd-redis-'))
  })

  afterEach(async () => {
    await redis?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  test('tells when its clock is another than that of the machine', async () => {
    redis = await RedisServer.start()
    const link = new RedisLink(redis.url, createLogger({ level: 'silent', format: 'text' }))
    try {
      await link.open()
      await link.assertClock(Date.now())
      for (const offMs of [3_600_000, -3_600_000])
        await expect(link.assertClock(Date.now() + offMs)).rejects.toBeInstanceOf(ClockSkewError)
    } finally {
      link.close()
    }
  })

  test('may reply with everything that the queues can ask for', async () => {
    redis = await RedisServer.start()
    const link = new RedisLink(redis.url, createLogger({ level: 'silent', format: 'text' }))
    try {
      await link.open()
      const { client } = link
      const text = 'é'.repeat(4 << 20)
      await client.set('text', text)
      const [replies, list] = await Promise.all([
        client.mget('text', 'none'),
        client.eval("local t = {} for i = 1, 300000 do t[i] = 'schedule ' .. i end return t", 0),
      ])
      expect(replies).toEqual([text, null])
      expect(list).toHaveLength(300_000)
      expect((list as string[]).at(-1)).toBe('schedule 300000')
    } finally {
      link.close()
    }
  })

  test('that speaks TLS is reached with rediss://', async () => {
    const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'certificate.pem')]
    const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', certificate, ...subject],
      { stdio: 'ignore' },
    )
    const port = String(await freePort())
    const tls = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-auth-clients', 'no']
    redis = await RedisServer.start('--tls-port', port, ...tls)
    const args = ['worker', '--redis', `rediss://127.0.0.1:${port}`, '--store', `app=file://${dir}/backup`]
    const worker = new BackgroundCommand(args, join(dir, 'log'), { NODE_EXTRA_CA_CERTS: certificate })
    try {
      await worker.said(/worker ready/)
      expect(await worker.stop()).toBe(0)
    } finally {
      await worker.stop('SIGKILL')
    }
  })
})
