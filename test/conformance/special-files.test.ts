import fs from 'node:fs/promises'
import { afterAll, beforeAll, beforeEach, describe, expect } from 'vitest'
import { it } from './conforming.ts'
import { attempt, type Facts, IS_ROOT, python, run, Served, shell } from './served.ts'

const POSITION = '000000000000002a/8000000000000001'
const LATER = '000000000000002b/9000000000000002'
const REPLICA: Facts = { primaryHostname: 'node-a', lagMs: 12, positions: { 'app.db': POSITION, 'sub/b.db': LATER } }

let served: Served
beforeAll(async () => {
  served = await Served.start(REPLICA)
  await fs.chmod(served.mount, 0o1777)
  await fs.chmod(served.directory, 0o755)
  await shell(served.mount, ': > app.db; mkdir sub; : > sub/b.db; : > ordinary')
})
beforeEach(() => served.tell(REPLICA))
afterAll(() => served.end())

const cat = (name: string) => run('cat', served.at(name))

describe('special files', () => {
  it('show the primary, the lag, and the position of each database beside it', async () => {
    expect(await cat('.primary')).toBe('node-a')
    expect(await cat('.lag')).toBe('+000000012')
    expect(await cat('app.db-pos')).toBe(POSITION)
    expect(await cat('sub/b.db-pos')).toBe(LATER)
  })

  it('are current at each access, in content, size and existence', async () => {
    expect(await run('stat', '-c', '%s %a %h %F', served.at('.primary'))).toBe('7 444 1 regular file')
    await served.tell({ primaryHostname: 'a-longer-name', positions: { 'app.db': LATER } })
    expect(await run('stat', '-c', '%s', served.at('.primary'))).toBe('14')
    expect(await cat('.primary')).toBe('a-longer-name')
    expect(await cat('app.db-pos')).toBe(LATER)
    expect(await cat('.lag')).toBe('+2147483647')
    await served.tell({ lagMs: 0 })
    for (const name of ['.primary', 'app.db-pos', 'sub/b.db-pos']) {
      expect((await attempt('cat', [served.at(name)])).stderr).toContain('No such file')
    }
    expect(await cat('.lag')).toBe('+000000000')
    await served.tell(REPLICA)
    expect(await cat('.primary')).toBe('node-a')
    expect(await cat('app.db-pos')).toBe(POSITION)
  })

  it('are looked up at each access, ordinary files only once', async () => {
    const twice = (name: string) =>
      served.requestsOf(async () => void (await shell(served.mount, `cat ${name} ${name}`)))
    await cat('ordinary')
    expect((await twice('ordinary')).LOOKUP).toBeUndefined()
    expect((await twice('.lag')).LOOKUP).toBe(2)
    const missing = (name: string) =>
      served.requestsOf(async () => void (await shell(served.mount, `! [ -e ${name} ]; ! [ -e ${name} ]`)))
    expect((await missing('ordinary-wal')).LOOKUP).toBe(1)
    expect((await missing('ordinary-pos')).LOOKUP).toBe(2)
  })

  it('can be read by tail, in small pieces, and again through an open descriptor', async () => {
    expect(await run('tail', '-n1', served.at('app.db-pos'))).toBe(POSITION)
    expect(await run('tail', '-c5', served.at('app.db-pos'))).toBe('0001')
    expect(await run('dd', 'bs=5', 'status=none', `if=${served.at('app.db-pos')}`)).toBe(POSITION)
    const open = await fs.open(served.at('app.db-pos'))
    const ask = async () => (await open.read(Buffer.alloc(100), 0, 100, 0)).buffer.toString('utf8', 0, 33)
    expect(await ask()).toBe(POSITION)
    await served.tell({ positions: { 'app.db': LATER } })
    expect(await ask()).toBe(LATER)
    await served.tell({})
    expect((await open.read(Buffer.alloc(100), 0, 100, 0)).bytesRead).toBe(0)
    expect((await open.stat()).nlink).toBe(0)
    await open.close()
  })

  it('have the time of their content', async () => {
    expect((await fs.stat(served.at('app.db-pos'))).mtimeMs).toBe(1_700_000_000_000)
    expect(Math.abs((await fs.stat(served.at('.lag'))).mtimeMs - Date.now())).toBeLessThan(60_000)
  })

  it.runIf(IS_ROOT)('are readable by every user, and belong to the user who serves them', async () => {
    const user = ['--reuid', '12345', '--regid', '12345', '--clear-groups']
    expect((await attempt('setpriv', [...user, 'cat', served.at('app.db-pos')])).stdout).toBe(`${POSITION}\n`)
    expect((await fs.stat(served.at('.lag'))).uid).toBe(process.getuid?.())
  })

  it('cannot be written, truncated, changed, removed, renamed, replaced or linked, not even by root', async () => {
    for (const name of ['.primary', '.lag', 'app.db-pos', 'sub/b.db-pos']) {
      for (const script of [
        `echo x > ${name}`,
        `echo x >> ${name}`,
        `truncate -s 0 ${name}`,
        `chmod 600 ${name}`,
        `touch ${name}`,
        `rm -f ${name}`,
        `mv ${name} other`,
        `mv -f ordinary ${name}`,
      ]) {
        const outcome = await attempt('bash', ['-c', script], served.mount)
        expect([script, outcome.stderr]).toEqual([script, expect.stringContaining('Permission denied') as string])
      }
      expect((await attempt('ln', [served.at(name), served.at('other')])).code).not.toBe(0)
    }
    await served.tell({})
    expect((await attempt('bash', ['-c', 'echo x > .primary'], served.mount)).stderr).toContain('Permission denied')
    expect(await run('ls', '-A', served.backing)).toBe('app.db\nordinary\nsub')
  })

  it('are in no listing, and do not disturb rm -r and cp -r', async () => {
    expect(await run('ls', '-A', served.mount)).toBe('app.db\nordinary\nsub')
    await served.tell({ positions: { 'gone/c.db': POSITION } })
    await shell(served.mount, 'mkdir gone; : > gone/c.db; cat gone/c.db-pos; rm -r gone; ! [ -e gone ]')
    await shell(served.mount, 'cp -r sub copied; ls -A copied | grep -x b.db; rm -r copied')
  })

  it('follow the databases of a directory that is renamed', async () => {
    await shell(served.mount, 'mkdir before; : > before/d.db')
    await served.tell({ positions: { 'before/d.db': POSITION } })
    expect(await cat('before/d.db-pos')).toBe(POSITION)
    await shell(served.mount, 'mv before after')
    await served.tell({ positions: { 'after/d.db': LATER } })
    expect(await cat('after/d.db-pos')).toBe(LATER)
    expect((await attempt('cat', [served.at('before/d.db-pos')])).stderr).toContain('No such file')
  })

  it('are hidden by a real file of the same name, which can be created while there is no database', async () => {
    await shell(served.mount, 'echo sales > shop-pos; cat shop-pos | grep -x sales')
    await served.tell({ positions: { shop: POSITION } })
    expect(await cat('shop-pos')).toBe('sales')
    await shell(served.mount, 'rm shop-pos')
    expect(await cat('shop-pos')).toBe(POSITION)
  })

  it('leave no memory behind once the kernel forgets them', async () => {
    const nodes = async () => Number(await served.ask('nodes'))
    const before = await nodes()
    await python(
      `import os,sys
for i in range(100):
    for name in ('.primary', '.lag', 'app.db-pos'):
        os.stat(os.path.join(sys.argv[1], name))`,
      served.mount,
    )
    expect((await nodes()) - before).toBeLessThanOrEqual(3)
  })
})
