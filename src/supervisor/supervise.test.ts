import { expect, test } from 'vitest'
import { LtxdError } from '../util/errors.ts'
import { createLogger } from '../util/log.ts'
import { supervise, type Supervised, type SuperviseOptions } from './supervise.ts'

/** A node that only counts its stops. */
function standIn(): Supervised & { stops: number; fail: (error: Error) => void } {
  let fail: (error: Error) => void = () => undefined
  const closed = new Promise<void>((_, reject) => (fail = reject))
  const stop = async function (this: { stops: number }) {
    this.stops++
  }
  return { mountDir: '/mnt/x', nodeId: '00000000000000ab', closed, fail, stops: 0, stop }
}

function options(node: Supervised, ...commands: string[][]): SuperviseOptions {
  return {
    start: () => Promise.resolve(node),
    abandon: () => undefined,
    commands: commands.map((argv) => ({ argv })),
    exitOnError: true,
    stopTimeoutMs: 5_000,
    terminal: false,
    logger: createLogger({ level: 'silent', format: 'json' }),
  }
}

const script = (text: string) => [process.execPath, '-e', text]

test('a program sees the mount in its environment, its exit code is returned, and the node stops once', async () => {
  const node = standIn()
  expect(await supervise(options(node, script('process.exit(process.env.LTXD_MOUNT === "/mnt/x" ? 7 : 1)')))).toBe(7)
  expect(node.stops).toBe(1)
})

test('a program that dies of a signal gives 128 plus its number', async () => {
  expect(await supervise(options(standIn(), script('process.kill(process.pid, "SIGKILL")')))).toBe(137)
})

test('a program that does not exist gives 127, one that is not executable 126', async () => {
  const node = standIn()
  expect(await supervise(options(node, ['/nonexistent/program']))).toBe(127)
  expect(await supervise(options(node, ['/etc/passwd']))).toBe(126)
  expect(node.stops).toBe(2)
})

test('a node that fails ends the program', async () => {
  const node = standIn()
  const over = supervise(options(node, script('setInterval(() => {}, 1000)')))
  node.fail(new Error('the data plane is gone'))
  expect(await over).toBe(1)
  expect(node.stops).toBe(1)
})

test('a failed start throws its error', async () => {
  const start = () => Promise.reject(new LtxdError('DATA_LOCKED', 'in use'))
  await expect(supervise({ ...options(standIn()), start })).rejects.toMatchObject({ code: 'DATA_LOCKED' })
})
